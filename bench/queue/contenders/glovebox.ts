import { Client } from 'pg';
import { clientConfig, type Connection, connect } from '../../../packages/instance/src/db/connect.ts';
import { migrate } from '../../../packages/instance/src/db/migrate.ts';
import { migrations } from '../../../packages/instance/src/db/testing.ts';
import { runsKind } from '../../../packages/instance/src/kinds/runs.ts';
import type { NewJob, QueueKinds } from '../../../packages/instance/src/queue/kind.ts';
import { enqueue, lease, mark } from '../../../packages/instance/src/queue/queue.ts';
import { type Contender, poolSize, share, workBy } from './contender.ts';

const newJob: NewJob = {
  payload: {
    image: `sha256:${'0'.repeat(64)}`,
    argv: ['true'],
    env: [],
    stdin: false,
    deadlineMs: 60_000,
    inspect: false,
  },
  repository: '',
  commit: '',
  accept: ['vm-emulated'],
  cpus: 1,
  memoryMiB: 512,
  scratchMiB: 1024,
  input: false,
  maxResets: 3,
  maxRetries: 0,
};
const offer = {
  executor: 'bench',
  queues: ['runs'],
  tiers: ['vm-emulated'],
  free: { cpus: 64, memoryMiB: 1 << 20, scratchMiB: 1 << 20 },
  native: true,
} as const;
const leaseMs = 600_000;

/** Ours, by the functions that the routes call. All that the bench knows of them is in this file. */
export async function glovebox(connection: Connection): Promise<Contender> {
  const db = connect(connection, { connections: poolSize });
  await migrate(db, migrations);
  const kinds: QueueKinds = new Map([['runs', runsKind({ has: async () => true })]]);
  return {
    name: 'glovebox',
    note: 'lease and mark of the instance, one job at a time: fenced by (job, attempt, token), attempt history and events stored with each move.',
    enqueue: (jobs, clients) =>
      share(jobs, clients, async (turn) => {
        while (turn()) await enqueue(db, 'runs', newJob);
      }),
    fill: (jobs) =>
      withClient(connection, async (client) => {
        await client.query(
          `with made as (
             insert into jobs (queue, payload, accept, cpus, memory_mib, scratch_mib, max_resets, max_retries, input_ended)
             select 'runs', $1::jsonb, $2::text[], 1, 512, 1024, 3, 0, true from generate_series(1, $3::int)
             returning id
           )
           insert into job_events (job_id, seq, type, body)
           select id, 1, 'job', jsonb_build_object('type', 'job', 'job', jsonb_build_object('id', id)) from made`,
          [JSON.stringify(newJob.payload), newJob.accept, jobs],
        );
        await client.query('analyze jobs, job_events');
      }),
    work: (workers, limit) =>
      workBy(workers, limit, async () => {
        const leased = await lease(db, offer, leaseMs);
        if (!leased) return 0;
        const { id, attempt, queue, repository, commit } = leased.job;
        const held = { jobId: id, attempt, executor: offer.executor, queue, repository, commit };
        await mark(db, kinds, held, 'complete', null);
        return 1;
      }),
    close: () => db.destroy(),
  };
}

/** Gives each of `executors` (named `e0` and on) a job that it runs; the ids, in their order. */
export function holdJobs(connection: Connection, executors: number): Promise<number[]> {
  return withClient(connection, async (client) => {
    await client.query("delete from jobs where executor ~ '^e[0-9]+$'");
    const { rows } = await client.query<{ id: number }>(
      `with made as (
         insert into jobs (queue, payload, accept, cpus, memory_mib, scratch_mib, max_resets, max_retries, input_ended,
                           state, attempt, executor, token_sha256, lease_ms, lease_expires_at, started_at)
         select 'runs', $1::jsonb, $2::text[], 1, 512, 1024, 1000, 0, true,
                'processing', 1, 'e' || n, sha256(convert_to('bench ' || n, 'UTF8')), 25000,
                clock_timestamp() + interval '60 seconds', clock_timestamp()
         from generate_series(0, $3::int - 1) n
         returning id, executor
       ), begun as (
         insert into attempts (job_id, attempt, executor) select id, 1, executor from made
       )
       select id from made order by substr(executor, 2)::int`,
      [JSON.stringify(newJob.payload), newJob.accept, executors],
    );
    await client.query('analyze jobs');
    return rows.map((row) => row.id);
  });
}

async function withClient<T>(connection: Connection, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(clientConfig(connection));
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
