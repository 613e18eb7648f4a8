import { protocolVersion } from '@fumehood/protocol';
import { Client } from 'pg';
import type { Connection } from '../../../packages/instance/src/config.ts';
import { clientConfig, connect } from '../../../packages/instance/src/db/connect.ts';
import { migrate } from '../../../packages/instance/src/db/migrate.ts';
import { migrations } from '../../../packages/instance/src/db/testing.ts';
import { runsKind } from '../../../packages/instance/src/kinds/runs.ts';
import type { NewJob, Submission, QueueKinds } from '../../../packages/instance/src/queue/kind.ts';
import { enqueue, lease, mark } from '../../../packages/instance/src/queue/queue.ts';
import { openLine } from '../../../packages/instance/src/queue/sql/lines.ts';
import type { Offer } from '../../../packages/instance/src/queue/offer.ts';
import { type Contender, poolSize, shareTurns, workByPolling } from './contender.ts';

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
  demand: {
    accept: ['vm-emulated'],
    arch: null,
    labels: [],
    ...{ cpus: 1, memoryMiB: 512, scratchMiB: 1024 },
    needsVersion: 1,
    egress: 'none',
    usesBroker: false,
  },
  deadlineMs: 60_000,
  input: false,
  maxResets: 3,
  maxRetries: 0,
};
const submission: Submission = {
  tenant: 'bench',
  priority: 0,
  processAfter: null,
  retryPauseMs: 5_000,
  idempotency: null,
};
/** High enough that no enqueue is refused. */
const queuedMax = 10_000_000;
const offer: Offer = {
  executor: 'bench',
  queues: ['runs'],
  tiers: ['vm-emulated'],
  arch: 'x64',
  labels: [],
  free: { cpus: 64, memoryMiB: 1 << 20, scratchMiB: 1 << 20 },
  protocol: protocolVersion,
  egress: ['none'],
};
const leaseMs = 600_000;

/** Returns our queue as a contender, through the functions that the routes call. Only this file of the bench uses them. */
export async function fumehood(connection: Connection): Promise<Contender> {
  const db = connect(connection, { connections: poolSize });
  await migrate(db, migrations);
  const kinds: QueueKinds = new Map([
    ['runs', runsKind({ hasBlob: async () => true, hasCommit: async () => true })],
  ]);
  return {
    name: 'fumehood',
    note: 'lease and mark of the instance, one job at a time: fenced by (job, attempt, token), attempt history and events are stored with each transition.',
    enqueue: (jobs, clients) =>
      shareTurns(jobs, clients, async (turn) => {
        while (turn()) await enqueue(db, 'runs', newJob, submission, queuedMax);
      }),
    async fill(jobs) {
      const line = await openLine(db, submission.tenant, 'runs', newJob.demand);
      await withClient(connection, async (client) => {
        await client.query(
          `with made as (
             insert into jobs (queue, payload, tenant, line_id, accept, cpus, memory_mib, scratch_mib, max_resets,
                               max_retries, input_ended)
             select 'runs', $1::jsonb, $2, $3, $4::text[], 1, 512, 1024, 3, 0, true from generate_series(1, $5::int)
             returning jobs as row
           )
           insert into job_events (job_id, type, body)
           select (row).id, 'job', jsonb_build_object('type', 'job', 'job', job_record(row, null)) from made`,
          [JSON.stringify(newJob.payload), submission.tenant, line, newJob.demand.accept, jobs],
        );
        await client.query('analyze jobs, job_events, lines, shares');
      });
    },
    work: (workers, limit) =>
      workByPolling(workers, limit, async () => {
        const leased = await lease(db, offer, leaseMs);
        if (typeof leased === 'string') return 0;
        const { id, attempt, queue, repository, commit } = leased.job;
        const held = { jobId: id, attempt, executor: offer.executor, queue, repository, commit };
        await mark(db, kinds, held, 'complete', null);
        return 1;
      }),
    close: () => db.destroy(),
  };
}

/** Gives each of `executors` executors (named `e0`, `e1`, …) a running job, and returns the job ids in that order. */
export async function holdJobs(connection: Connection, executors: number): Promise<number[]> {
  const db = connect(connection, { connections: 1 });
  const line = await openLine(db, submission.tenant, 'runs', newJob.demand);
  await db.destroy();
  return await withClient(connection, async (client) => {
    await client.query("delete from jobs where executor ~ '^e[0-9]+$'");
    const { rows } = await client.query<{ id: number }>(
      `with made as (
         insert into jobs (queue, payload, tenant, line_id, accept, cpus, memory_mib, scratch_mib, max_resets,
                           max_retries, input_ended, state, attempt, executor, token_sha256, lease_ms,
                           lease_expires_at, started_at)
         select 'runs', $1::jsonb, $2, $3, $4::text[], 1, 512, 1024, 1000, 0, true,
                'processing', 1, 'e' || n, sha256(convert_to('bench ' || n, 'UTF8')), 25000,
                clock_timestamp() + interval '60 seconds', clock_timestamp()
         from generate_series(0, $5::int - 1) n
         returning id, executor
       )
       select id from made order by substr(executor, 2)::int`,
      [JSON.stringify(newJob.payload), submission.tenant, line, newJob.demand.accept, executors],
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
