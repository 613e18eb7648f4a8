import { FumehoodError } from '@fumehood/base';
import {
  afterTransition,
  type JobLife,
  type JobTransition,
  jobTransitions,
  newLife,
} from '@fumehood/protocol';
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { JobLease } from './job.ts';
import { cancel, expireLeases, mark } from './queue.ts';
import { leaseOf, testQueue } from './testing.ts';

/**
 * The lifecycle's table and the SQL that implements it, side by side: the same random histories on both, compared after each
 * step. One slow history would be all that fits into a test, so a batch of them runs in one database, each on its own job,
 * executor and label.
 */
const histories = Number(process.env.FUMEHOOD_HISTORIES ?? 500);
const batch = 250;
/** Longer than any history takes, on any machine: no lease runs out by itself. */
const longestMs = 600_000;
const longest = 12;

let server: TestServer;
let db: Db;
const { add, take, renew } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
  db = connect(await server.clone(), { connections: 8 });
});
afterAll(async () => {
  await db.destroy();
  await server.stop();
});

interface History {
  readonly maxResets: number;
  readonly maxRetries: number;
  readonly moves: readonly JobTransition[];
}

// Weighted: a uniform choice ends most histories at their second step.
const move: fc.Arbitrary<JobTransition> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<JobTransition>('lease') },
  { weight: 3, arbitrary: fc.constantFrom<JobTransition>('expire', 'error') },
  { weight: 1, arbitrary: fc.constantFrom<JobTransition>('complete', 'fail', 'cancel', 'release') },
);
const history: fc.Arbitrary<History> = fc.record({
  maxResets: fc.nat(3),
  maxRetries: fc.nat(3),
  moves: fc.array(move, { minLength: 1, maxLength: longest }),
});

test(`${histories} random histories have the same states in the table and in PostgreSQL`, {
  timeout: 600_000,
}, async () => {
  const met = new Set<string>();
  let done = 0;
  for (let seed = 1; done < histories; seed += 1) {
    const some = fc.sample(history, { numRuns: Math.min(batch, histories - done), seed });
    await Promise.all(some.map((one, n) => compare(one, `${seed}-${n}`, met)));
    done += some.length;
    await sql`truncate jobs cascade`.execute(db);
  }
  expect(done).toBe(histories);
  // The comparison covered each transition from each state, taken and refused.
  const states = ['queued', 'processing', 'canceling', 'errored', 'completed', 'failed', 'canceled'];
  expect([...met].toSorted()).toEqual(
    states.flatMap((state) => jobTransitions.map((one) => `${state} ${one}`)).toSorted(),
  );
});

async function compare(
  { maxResets, maxRetries, moves }: History,
  name: string,
  met: Set<string>,
): Promise<void> {
  const { id } = await add({ tenant: name, labels: [name], maxResets, maxRetries });
  let expected: JobLife = newLife({ maxResets, maxRetries });
  let held: JobLease | null = null;
  for (const [step, one] of moves.entries()) {
    const state = expected.state === 'processing' && expected.cancelRequested ? 'canceling' : expected.state;
    met.add(`${state} ${one}`);
    held = (await make(one, id, name, held)) ?? held;
    expected = afterTransition(expected, one) ?? expected;
    expect(await lifeOf(id), `${name}, step ${step}: ${moves.slice(0, step + 1).join(' ')}`).toEqual(
      expected,
    );
  }
}

/** Makes a transition by the calls that the routes make. A refusal shows in the job's row. */
async function make(
  transition: JobTransition,
  id: number,
  name: string,
  held: JobLease | null,
): Promise<JobLease | null> {
  const kinds = new Map();
  const refused = (error: unknown) => {
    if (error instanceof FumehoodError && ['lease_lost', 'job_ended'].includes(error.code)) return null;
    throw error;
  };
  if (transition === 'lease') {
    await sql`update jobs set process_after = null, rank_at = queued_at where id = ${id}`.execute(db);
    // The table is about jobs: an executor is not held back for the leases that it lost.
    await sql`update executors set must_beat = false, lost_at = null where name = ${name}`.execute(db);
    const leased = await take({ executor: name, labels: [name] }, longestMs);
    return leased && leaseOf(leased);
  }
  if (transition === 'cancel') await cancel(db, kinds, id).catch(refused);
  else if (transition === 'release') await renew(name, []);
  else if (transition === 'expire') {
    await sql`
      update jobs set lease_expires_at = clock_timestamp() - interval '1 hour'
      where id = ${id} and state = 'processing'
    `.execute(db);
    // A reaper skips a lease that another one is ending just now: wait until that one has finished.
    do await expireLeases(db, kinds, new Date(Date.now() - 60_000));
    while (await isExpired(id));
  } else if (held) await mark(db, kinds, held, transition, null).catch(refused);
  return null;
}

async function isExpired(id: number): Promise<boolean> {
  const { rows } = await sql`
    select from jobs where id = ${id} and lease_expires_at < clock_timestamp() - interval '1 minute'
  `.execute(db);
  return rows.length > 0;
}

async function lifeOf(id: number): Promise<JobLife> {
  const { rows } = await sql<JobLife>`
    select state, attempt, resets, retries, max_resets as "maxResets", max_retries as "maxRetries",
      cancel_requested as "cancelRequested"
    from jobs where id = ${id}
  `.execute(db);
  return rows[0] as JobLife;
}
