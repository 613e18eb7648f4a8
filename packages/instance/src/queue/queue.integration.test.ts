import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { addEntry } from '../logs/logs.ts';
import type { JobLease, JobRow } from './job.ts';
import { cancel, fenced, type Leased, mark } from './queue.ts';
import { listAttempts } from './sql/attempts.ts';
import { readRecord } from './sql/jobs.ts';
import type { Offer } from './offer.ts';
import { expire, type JobChanges, leaseOf, testQueue } from './testing.ts';

let server: TestServer;
let db: Db;
const kinds = new Map();

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 12 });
  return () => db.destroy();
});

const { add, take, elapse, renew } = testQueue(() => db);
const stateOf = async (id: number) => (await readRecord(db, id))?.state;
const write = (held: JobLease) =>
  fenced(db, held, async (tx, job) => {
    await sql`update jobs set message = 'written' where id = ${job.id}`.execute(tx);
  });

const upstream: Partial<Offer> = { protocol: 0, egress: ['public'], free: null };

describe('a lease', () => {
  test('is given once per job when 10 executors lease 40 jobs concurrently', async () => {
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

  test.each<[string, JobChanges, Partial<Offer>]>([
    ['only a tier that the job does not accept', {}, { tiers: ['container'] }],
    ['no tier at all', {}, { tiers: [] }],
    ['another queue', {}, { queues: ['codeintel'] }],
    ['too little memory', { memoryMiB: 4096 }, {}],
    ['too few CPUs', { cpus: 3 }, {}],
    ['too little disk', { scratchMiB: 5000 }, {}],
    ['no native extension', {}, { ...upstream, egress: ['none'] }],
    ['an older version', { needsVersion: 3 }, { protocol: 2 }],
    ['another architecture', { arch: 'arm64' }, {}],
    ['no declared architecture, for a job that names one', { arch: 'x64' }, { arch: null }],
    ['not all of the labels', { labels: ['gpu', 'region=eu'] }, { labels: ['gpu'] }],
    ['everything, before the time of the job has come', { processAfter: new Date(Date.now() + 60_000) }, {}],
  ])('is not given to an executor with %s', async (_, job, changes) => {
    await add(job);
    expect(await take(changes)).toBeNull();
  });

  test.each<[string, JobChanges, Partial<Offer>]>([
    ['all labels and more', { labels: ['gpu', 'region=eu'] }, { labels: ['region=eu', 'fast', 'gpu'] }],
    ['the architecture of the job', { arch: 'x64' }, {}],
    ['one of the accepted tiers', { accept: ['vm-hardware', 'vm-emulated'] }, {}],
    ['no native extension, for a job that needs none', { needsVersion: 0, egress: 'public' }, upstream],
    ['everything, after the time of the job has come', { processAfter: new Date(Date.now() - 60_000) }, {}],
  ])('is given to an executor with %s', async (_, job, changes) => {
    const { id } = await add(job);
    expect((await take(changes))?.job.id).toBe(id);
  });

  test('is given for the oldest job first', async () => {
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
  test.each(other)('under the lease of %s is refused', async (_, changes) => {
    await add();
    const held = leaseOf((await take()) as Leased);
    await write(held);
    await expect(write({ ...held, ...changes })).rejects.toMatchObject({ code: 'lease_lost' });
  });

  test('after the lease ran out is refused, even before the job is leased again', async () => {
    await add();
    const held = leaseOf((await take()) as Leased);
    await elapse(12_100);
    await expect(write(held)).rejects.toMatchObject({ code: 'lease_lost' });
  });

  test('that passed the fence holds the job until it is committed', async () => {
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

  test('of an earlier attempt is refused while the next attempt runs', async () => {
    await add();
    const first = leaseOf((await take()) as Leased);
    await elapse(20_000);
    await expire(db, kinds, 1_000);
    const second = leaseOf((await take()) as Leased);
    expect(second.attempt).toBe(2);
    await write(second);
    await expect(write(first)).rejects.toMatchObject({ code: 'lease_lost' });
    await expect(mark(db, kinds, first, 'complete', null)).rejects.toMatchObject({ code: 'lease_lost' });
  });
});

describe('a heartbeat', () => {
  test('renews only the lease of its executor and attempt', async () => {
    await add();
    const { job } = (await take()) as Leased;
    expect(await renew('e2', [{ jobId: job.id, attempt: 1 }])).toEqual([]);
    expect(await renew('e1', [{ jobId: job.id, attempt: 2 }])).toEqual([]);
    expect(await renew('e1', [{ jobId: job.id, attempt: null }])).toHaveLength(1);
    await elapse(11_000);
    expect(await renew('e1', [{ jobId: job.id, attempt: 1 }])).toHaveLength(1);
    await elapse(11_000);
    expect(await expire(db, kinds, 0)).toBe(0);
  });

  test('does not renew a lease that ran out', async () => {
    await add();
    const { job } = (await take()) as Leased;
    await elapse(12_100);
    expect(await renew('e1', [{ jobId: job.id, attempt: 1 }])).toEqual([]);
  });

  test('never deadlocks with others that name the same jobs in another order', async () => {
    for (let n = 0; n < 20; n += 1) await add();
    const held: { jobId: number; attempt: number }[] = [];
    for (let one = await take(); one; one = await take()) held.push({ jobId: one.job.id, attempt: 1 });
    await Promise.all(Array.from({ length: 40 }, (_, n) => renew('e1', n % 2 ? held : held.toReversed())));
    expect(held).toHaveLength(20);
  });

  test('returns that a cancel was requested', async () => {
    const { id } = await add();
    await take();
    await cancel(db, kinds, id);
    const [renewed] = await renew('e1', [{ jobId: id, attempt: 1 }]);
    expect(renewed).toMatchObject({ id, cancel_requested: true });
  });
});

describe('a cancel of a running job', () => {
  test('leaves the token good for the log alone, and does not end the job yet', async () => {
    const { id } = await add();
    const held = leaseOf((await take()) as Leased);
    expect(await cancel(db, kinds, id)).toMatchObject({ state: 'processing', cancelRequested: true });
    await expect(write(held)).rejects.toMatchObject({ code: 'lease_lost' });
    const facts = {
      key: 'k',
      command: [],
      startTime: '2026-01-02T03:04:05Z',
      exitCode: null,
      durationMs: null,
    };
    expect(await addEntry(db, held, 1, facts, undefined)).toBe(1);
    for (const said of ['complete', 'error', 'fail'] as const)
      await expect(mark(db, kinds, held, said, null)).rejects.toMatchObject({ code: 'lease_lost' });
    expect(await stateOf(id)).toBe('processing');
    await renew('e1', []);
    await expect(addEntry(db, held, 2, facts, undefined)).rejects.toMatchObject({ code: 'lease_lost' });
  });

  test('ends the job with the first heartbeat that does not name it', async () => {
    const { id } = await add();
    const other = await add();
    await take();
    await take();
    await cancel(db, kinds, id);
    await renew('e1', [
      { jobId: id, attempt: 1 },
      { jobId: other.id, attempt: 1 },
    ]);
    await renew('e2', []);
    await renew('e1', [], ['codeintel']);
    expect(await stateOf(id)).toBe('processing');
    await renew('e1', [{ jobId: other.id, attempt: 1 }]);
    expect(await readRecord(db, id)).toMatchObject({ state: 'canceled', failure: { reason: 'canceled' } });
    expect(await stateOf(other.id)).toBe('processing');
  });
});

describe('a lease that ran out', () => {
  test('queues the job again, and its attempt stays on record', async () => {
    const { id } = await add();
    await take();
    await elapse(12_500);
    expect(await expire(db, kinds, 1_000)).toBe(0);
    await elapse(1_000);
    expect(await expire(db, kinds, 1_000)).toBe(1);
    expect(await stateOf(id)).toBe('queued');
    await take({ executor: 'e2' });
    expect(await listAttempts(db, id)).toMatchObject([
      { attempt: 1, executor: 'e1', outcome: 'lost', failure: { reason: 'lease_lost' } },
      { attempt: 2, executor: 'e2', outcome: 'processing', failure: null, endedAt: null },
    ]);
  });

  test('makes the job fail after too many losses, with the reason', async () => {
    const { id } = await add({ maxResets: 1 });
    for (let n = 0; n < 2; n += 1) {
      expect(await take()).not.toBeNull();
      await elapse(20_000);
      await expire(db, kinds, 1_000);
    }
    expect(await readRecord(db, id)).toMatchObject({
      state: 'failed',
      failure: { reason: 'lease_lost', message: 'its executor e1 was not heard of in time, 2 times' },
    });
  });

  test('is ended once by two concurrent reapers', async () => {
    await add({ maxResets: 3 });
    await take();
    await elapse(20_000);
    const counts = await Promise.all([expire(db, kinds, 0), expire(db, kinds, 0)]);
    expect(counts.toSorted()).toEqual([0, 1]);
    const { rows } = await sql`select resets from jobs`.execute(db);
    expect(rows).toEqual([{ resets: 1 }]);
  });

  test('ends a canceled job as canceled', async () => {
    const { id } = await add();
    await take();
    await cancel(db, kinds, id);
    await elapse(20_000);
    await expire(db, kinds, 0);
    expect(await stateOf(id)).toBe('canceled');
  });
});

describe('the end of a job', () => {
  test('runs the hook of its kind in the transaction; if the hook fails, the job has not ended', async () => {
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

  test('is batched with others: each job ends once, under its own lease, and none waits for a locked row', async () => {
    const leases: JobLease[] = [];
    for (let n = 0; n < 8; n += 1) {
      await add();
      leases.push(leaseOf((await take({ executor: `e${n}` })) as Leased));
    }
    const [slow, lost, ...good] = leases as [JobLease, JobLease, ...JobLease[]];
    const entered = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    const writing = fenced(db, slow, async () => {
      entered.resolve();
      await letGo.promise;
    });
    await entered.promise;
    const complete = (lease: JobLease) => mark(db, kinds, lease, 'complete', null);
    const waiting = complete(slow);
    const wrong = [{ ...lost, executor: 'e9' }, ...good.map((lease) => ({ ...lease, attempt: 2 })), ...good];
    const answers = await Promise.allSettled([...good, ...wrong].map(complete));
    expect(answers.map(({ status }) => status)).toEqual([
      ...good.map(() => 'fulfilled'),
      ...wrong.map(() => 'rejected'),
    ]);
    letGo.resolve();
    await Promise.all([writing, waiting]);
    const { rows } = await sql`
      select state, count(*)::int as count from jobs left join attempts on job_id = id group by state order by state
    `.execute(db);
    expect(rows).toEqual([
      { state: 'completed', count: 7 },
      { state: 'processing', count: 1 },
    ]);
    const { rows: events } = await sql`
      select from job_events where type = 'job' and state = 'completed'`.execute(db);
    expect(events).toHaveLength(7);
  });

  test('comes at once when a waiting job is canceled; a cancel of an ended job is refused', async () => {
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

  test('does not come with an error that may be retried: the job waits for its next attempt', async () => {
    const { id } = await add({ maxRetries: 1 });
    await mark(db, kinds, leaseOf((await take()) as Leased), 'error', { reason: 'vmm_died', message: 'no' });
    expect(await stateOf(id)).toBe('errored');
    expect(await take()).toBeNull();
    await sql`update jobs set process_after = null, rank_at = queued_at`.execute(db);
    const again = (await take()) as Leased;
    await mark(db, kinds, leaseOf(again), 'error', { reason: 'vmm_died', message: 'no' });
    expect(await stateOf(id)).toBe('failed');
  });
});

test('the waiting jobs of a tenant are bounded; other tenants and running jobs do not count', async () => {
  const bounded = (tenant: string) => add({ tenant }, 3);
  for (let n = 0; n < 3; n += 1) await bounded('acme');
  await expect(bounded('acme')).rejects.toMatchObject({ code: 'too_many_queued', status: 429 });
  await bounded('other');
  await take();
  await take();
  await bounded('acme');
});

test('far from the bound, jobs are not counted for each new job; the bound still holds', async () => {
  const bounded = () => add({}, 60);
  for (let n = 0; n < 60; n += 1) await bounded();
  await expect(bounded()).rejects.toMatchObject({ code: 'too_many_queued' });
});
