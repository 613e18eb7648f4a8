import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobLease } from '../auth/job.ts';
import { connect, type Db } from '../db/connect.ts';
import { startTestServer, type TestServer } from '../db/testing.ts';
import type { JobRow } from './job.ts';
import type { NewJob } from './kind.ts';
import { cancel, enqueue, expireLeases, fenced, type Leased, lease, mark } from './queue.ts';
import { readJob } from './sql/read.ts';
import { renewLeases } from './sql/renew.ts';
import type { Offer } from './sql/take.ts';

let server: TestServer;
let db: Db;
const kinds = new Map();

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 12 });
  return () => db.destroy();
});

const newJob: NewJob = {
  payload: {},
  repository: '',
  commit: '',
  accept: ['vm-emulated'],
  cpus: 1,
  memoryMiB: 1024,
  scratchMiB: 1024,
  input: false,
  maxResets: 1,
  maxRetries: 0,
};
const offer: Offer = {
  executor: 'e1',
  queues: ['runs'],
  tiers: ['vm-emulated'],
  free: { cpus: 2, memoryMiB: 2048, scratchMiB: 4096 },
  native: true,
};
const add = (changes: Partial<NewJob> = {}) => enqueue(db, 'runs', { ...newJob, ...changes });
const take = (changes: Partial<Offer> = {}) => lease(db, { ...offer, ...changes }, 12_000);
const leaseOf = ({ job }: Leased): JobLease => ({
  jobId: job.id,
  attempt: job.attempt,
  executor: job.executor as string,
  queue: job.queue,
  repository: job.repository,
  commit: job.commit,
});
/** As if this long had passed since the last heartbeat. */
const pass = (ms: number) =>
  sql`update jobs set lease_expires_at = lease_expires_at - make_interval(secs => ${ms / 1000})
      where state = 'processing'`.execute(db);
const stateOf = async (id: number) => (await readJob(db, id))?.state;
const write = (held: JobLease) =>
  fenced(db, held, async (tx, job) => {
    await sql`update jobs set message = 'written' where id = ${job.id}`.execute(tx);
  });

describe('a lease', () => {
  test('of 40 jobs by 10 at once: each job once', async () => {
    for (let n = 0; n < 40; n += 1) await add();
    const taken: number[] = [];
    await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        for (let one = await take({ executor: `e${n}` }); one; one = await take({ executor: `e${n}` }))
          taken.push(one.job.id);
      }),
    );
    expect(taken).toHaveLength(40);
    expect(new Set(taken).size).toBe(40);
  });

  test.each<[string, Partial<NewJob>, Partial<Offer>]>([
    ['a tier that the job does not accept', {}, { tiers: ['container'] }],
    ['no tier at all', {}, { tiers: [] }],
    ['another queue', {}, { queues: ['codeintel'] }],
    ['too little memory', { memoryMiB: 4096 }, {}],
    ['too few CPUs', { cpus: 3 }, {}],
    ['too little disk', { scratchMiB: 5000 }, {}],
    ['no native extension', {}, { native: false, free: null }],
  ])('is not given for %s', async (_, job, changes) => {
    await add(job);
    expect(await take(changes)).toBeNull();
  });

  test('goes to the oldest job first', async () => {
    const first = await add();
    await add();
    expect((await take())?.job.id).toBe(first.id);
  });
});

describe('a write', () => {
  const other: [string, Partial<JobLease>][] = [
    ['another attempt', { attempt: 2 }],
    ['an earlier attempt', { attempt: 0 }],
    ['another executor', { executor: 'e2' }],
    ['another job', { jobId: 4711 }],
  ];
  test.each(other)('under the name of %s is refused', async (_, changes) => {
    await add();
    const held = leaseOf((await take()) as Leased);
    await write(held);
    await expect(write({ ...held, ...changes })).rejects.toMatchObject({ code: 'lease_lost' });
  });

  test('after the lease ran out is refused, before anybody took the job again', async () => {
    await add();
    const held = leaseOf((await take()) as Leased);
    await pass(12_100);
    await expect(write(held)).rejects.toMatchObject({ code: 'lease_lost' });
  });

  test('that began under a good lease holds the job until it is committed', async () => {
    const { id } = await add();
    const held = leaseOf((await take()) as Leased);
    const order: string[] = [];
    const entered = Promise.withResolvers<void>();
    const slow = fenced(db, held, async () => {
      entered.resolve();
      await new Promise((resolve) => setTimeout(resolve, 200));
      order.push('write');
    });
    await entered.promise;
    const canceling = cancel(db, kinds, id).then(() => order.push('cancel'));
    await Promise.all([slow, canceling]);
    expect(order).toEqual(['write', 'cancel']);
  });

  test('of the attempt before is refused while the next one runs', async () => {
    await add();
    const first = leaseOf((await take()) as Leased);
    await pass(20_000);
    await expireLeases(db, kinds, 1_000);
    const second = leaseOf((await take()) as Leased);
    expect(second.attempt).toBe(2);
    await write(second);
    await expect(write(first)).rejects.toMatchObject({ code: 'lease_lost' });
    await expect(mark(db, kinds, first, 'complete', null)).rejects.toMatchObject({ code: 'lease_lost' });
  });
});

describe('a heartbeat', () => {
  test('renews this executor, this attempt, and nothing else', async () => {
    await add();
    const { job } = (await take()) as Leased;
    expect(await renewLeases(db, 'e2', [{ jobId: job.id, attempt: 1 }])).toEqual([]);
    expect(await renewLeases(db, 'e1', [{ jobId: job.id, attempt: 2 }])).toEqual([]);
    expect(await renewLeases(db, 'e1', [{ jobId: job.id, attempt: null }])).toHaveLength(1);
    await pass(11_000);
    expect(await renewLeases(db, 'e1', [{ jobId: job.id, attempt: 1 }])).toHaveLength(1);
    await pass(11_000);
    expect(await expireLeases(db, kinds, 0)).toBe(0);
  });

  test('does not bring back a lease that ran out', async () => {
    await add();
    const { job } = (await take()) as Leased;
    await pass(12_100);
    expect(await renewLeases(db, 'e1', [{ jobId: job.id, attempt: 1 }])).toEqual([]);
  });

  test('of many jobs in any order, many at once, never deadlocks', async () => {
    for (let n = 0; n < 20; n += 1) await add();
    const held: { jobId: number; attempt: number }[] = [];
    for (let one = await take(); one; one = await take()) held.push({ jobId: one.job.id, attempt: 1 });
    await Promise.all(
      Array.from({ length: 40 }, (_, n) => renewLeases(db, 'e1', n % 2 ? held : held.toReversed())),
    );
    expect(held).toHaveLength(20);
  });

  test('tells of a cancel', async () => {
    const { id } = await add();
    await take();
    await cancel(db, kinds, id);
    const [renewed] = await renewLeases(db, 'e1', [{ jobId: id, attempt: 1 }]);
    expect(renewed).toMatchObject({ id, cancel_requested: true });
  });
});

describe('a lease that ran out', () => {
  test('lets the job run again, and its attempt stays on record', async () => {
    const { id } = await add();
    await take();
    await pass(12_500);
    expect(await expireLeases(db, kinds, 1_000)).toBe(0);
    await pass(1_000);
    expect(await expireLeases(db, kinds, 1_000)).toBe(1);
    expect(await stateOf(id)).toBe('queued');
    await take({ executor: 'e2' });
    const { rows } =
      await sql`select attempt, executor, outcome, reason from attempts order by attempt`.execute(db);
    expect(rows).toEqual([
      { attempt: 1, executor: 'e1', outcome: 'lost', reason: 'lease_lost' },
      { attempt: 2, executor: 'e2', outcome: 'processing', reason: null },
    ]);
  });

  test('too often fails the job, with the reason', async () => {
    const { id } = await add({ maxResets: 1 });
    for (let n = 0; n < 2; n += 1) {
      expect(await take()).not.toBeNull();
      await pass(20_000);
      await expireLeases(db, kinds, 1_000);
    }
    expect(await readJob(db, id)).toMatchObject({ state: 'failed', reason: 'lease_lost', resets: 1 });
  });

  test('is ended once by two reapers at once', async () => {
    const { id } = await add({ maxResets: 3 });
    await take();
    await pass(20_000);
    const counts = await Promise.all([expireLeases(db, kinds, 0), expireLeases(db, kinds, 0)]);
    expect(counts.toSorted()).toEqual([0, 1]);
    expect((await readJob(db, id))?.resets).toBe(1);
  });

  test('of a canceled job ends it as canceled', async () => {
    const { id } = await add();
    await take();
    await cancel(db, kinds, id);
    await pass(20_000);
    await expireLeases(db, kinds, 0);
    expect(await stateOf(id)).toBe('canceled');
  });
});

describe('an end', () => {
  test('calls the kind in its transaction; if that fails, nothing has ended', async () => {
    const { id } = await add();
    const held = leaseOf((await take()) as Leased);
    const ended: number[] = [];
    const kind = (fails: boolean) => ({
      name: 'runs',
      create: () => Promise.reject(new Error('unused')),
      content: () => {
        throw new Error('unused');
      },
      async ended(_tx: Db, job: JobRow) {
        if (fails) throw new Error('the kind cannot');
        ended.push(job.id);
      },
    });
    await expect(mark(db, new Map([['runs', kind(true)]]) as never, held, 'complete', null)).rejects.toThrow(
      'the kind cannot',
    );
    expect(await stateOf(id)).toBe('processing');
    await mark(db, new Map([['runs', kind(false)]]) as never, held, 'complete', null);
    expect(await stateOf(id)).toBe('completed');
    expect(ended).toEqual([id]);
  });

  test('of a waiting job by a cancel is at once, of an ended one refused', async () => {
    const { id } = await add();
    expect((await cancel(db, kinds, id)).state).toBe('canceled');
    expect((await cancel(db, kinds, id)).state).toBe('canceled');
    const other = await add();
    await mark(db, kinds, leaseOf((await take()) as Leased), 'fail', {
      reason: 'step_failed',
      message: 'no',
    });
    await expect(cancel(db, kinds, other.id)).rejects.toMatchObject({ code: 'job_ended' });
  });

  test('as an error that may be retried waits before the next attempt', async () => {
    const { id } = await add({ maxRetries: 1 });
    await mark(db, kinds, leaseOf((await take()) as Leased), 'error', { reason: 'vmm_died', message: 'no' });
    expect(await stateOf(id)).toBe('errored');
    expect(await take()).toBeNull();
    await sql`update jobs set process_after = clock_timestamp()`.execute(db);
    const again = (await take()) as Leased;
    await mark(db, kinds, leaseOf(again), 'error', { reason: 'vmm_died', message: 'no' });
    expect(await stateOf(id)).toBe('failed');
  });
});
