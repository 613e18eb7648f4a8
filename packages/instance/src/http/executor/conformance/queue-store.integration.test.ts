import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobLease } from '../../../queue/job.ts';
import { connect, type Db } from '../../../db/connect.ts';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { addEntry, changeEntry } from '../../../logs/logs.ts';
import { cancel, type Leased, mark } from '../../../queue/queue.ts';
import { listShares } from '../../../queue/sql/shares.ts';
import { readRecord } from '../../../queue/sql/jobs.ts';
import { expire, type JobChanges, leaseOf, testQueue } from '../../../queue/testing.ts';

/** What upstream's executors rely on in its queue store, held by ours. */
let server: TestServer;
let db: Db;
const kinds = new Map();
beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 8 });
  return () => db.destroy();
});

const { add, take, elapse, renew } = testQueue(() => db);
const held = async (changes: JobChanges = {}): Promise<JobLease> => {
  await add(changes);
  return leaseOf((await take()) as Leased);
};
const record = (id: number) => readRecord(db, id);
const failure = { reason: 'step_failed', message: 'oops' };
const errored = (lease: JobLease) => mark(db, kinds, lease, 'error', failure);
const lost = { code: 'lease_lost' };
const facts = { key: 'k', command: ['a'], startTime: '2023-01-02T03:04:15Z', exitCode: 0, durationMs: 1 };
/** Lets waiting jobs wait this much longer. */
const wait = (minutes: number) =>
  sql`update jobs set queued_at = queued_at - make_interval(mins => ${minutes}),
        rank_at = rank_at - make_interval(mins => ${minutes}),
        process_after = process_after - make_interval(mins => ${minutes})`.execute(db);

test('shares count queued jobs and retries as waiting, leased jobs as running, and failed jobs not at all', async () => {
  await errored(await held({ maxRetries: 1 }));
  await mark(db, kinds, await held(), 'fail', failure);
  await held();
  await add();
  expect(await listShares(db)).toMatchObject([{ waiting: 2, running: 1 }]);
});

describe('a dequeue', () => {
  test('takes the oldest job that neither runs nor has ended', async () => {
    await held();
    await mark(db, kinds, await held(), 'complete', null);
    const first = await add();
    await add();
    expect((await take())?.job.id).toBe(first.id);
  });

  test('takes only a job that fits the offer', async () => {
    await add({ queue: 'codeintel' });
    await add({ labels: ['gpu'] });
    expect(await take()).toBeNull();
    expect(await take({ labels: ['gpu'] })).not.toBeNull();
  });

  // Upstream deletes the entries of the former attempt.
  test('begins a new log, and the log of the former attempt stays', async () => {
    const first = await held();
    expect(await addEntry(db, first, null, facts, undefined)).toBe(1);
    await elapse(60_000);
    await expire(db, kinds, 0);
    const second = leaseOf((await take()) as Leased);
    expect(await addEntry(db, second, null, facts, undefined)).toBe(1);
    const { rows } = await sql`select attempt, entry from log_entries order by attempt`.execute(db);
    expect(rows).toEqual([
      { attempt: 1, entry: 1 },
      { attempt: 2, entry: 1 },
    ]);
  });

  test('does not take a job before its time, and takes it then', async () => {
    const { id } = await add({ processAfter: new Date(Date.now() + 300_000) });
    expect(await take()).toBeNull();
    await wait(6);
    expect((await take())?.job.id).toBe(id);
  });

  test('gives two executors different jobs, and a third one none', async () => {
    await add();
    await add();
    const taken = await Promise.all(['e1', 'e2', 'e3'].map((executor) => take({ executor })));
    const ids = taken.map((leased) => leased?.job.id).filter((id) => id !== undefined);
    expect(new Set(ids).size).toBe(2);
  });

  test('takes a job with a retry after its pause, in the order of its time', async () => {
    const lease = await held({ maxRetries: 1, retryPauseMs: 300_000 });
    await errored(lease);
    await wait(4);
    expect(await take()).toBeNull();
    await wait(2);
    await add();
    expect((await take())?.job.id).toBe(lease.jobId);
    await mark(db, kinds, await held(), 'fail', failure);
    await wait(60);
    expect(await take()).not.toBeNull(); // the job that was added last
    expect(await take()).toBeNull();
  });

  test('never takes a job without retries again', async () => {
    await errored(await held({ maxRetries: 0 }));
    await wait(600);
    expect(await take()).toBeNull();
  });
});

describe('a log entry', () => {
  test('is numbered from 1, and stored in order', async () => {
    const lease = await held();
    for (const key of ['a', 'b', 'c']) await addEntry(db, lease, null, { ...facts, key }, undefined);
    const { rows } = await sql`select entry, key from log_entries order by entry`.execute(db);
    expect(rows).toEqual([
      { entry: 1, key: 'a' },
      { entry: 2, key: 'b' },
      { entry: 3, key: 'c' },
    ]);
    await expect(addEntry(db, { ...lease, jobId: 4711 }, null, facts, undefined)).rejects.toMatchObject(lost);
  });

  test('is replaced by its number; none has the number 0, or one beyond the last', async () => {
    const lease = await held();
    await addEntry(db, lease, null, facts, undefined);
    await changeEntry(db, lease, 1, { ...facts, exitCode: 7 }, undefined);
    const { rows } = await sql`select exit_code from log_entries`.execute(db);
    expect(rows).toEqual([{ exit_code: 7 }]);
    for (const entry of [0, 2])
      await expect(changeEntry(db, lease, entry, facts, undefined)).rejects.toMatchObject({
        code: 'entry_not_found',
      });
  });
});

describe('a mark', () => {
  test('as complete ends a leased job without a message, and leaves the message of a job that waits for a retry', async () => {
    const lease = await held();
    await mark(db, kinds, lease, 'complete', null);
    expect(await record(lease.jobId)).toMatchObject({ state: 'completed', failure: null });
    const other = await held({ maxRetries: 1 });
    await errored(other);
    await expect(mark(db, kinds, other, 'complete', null)).rejects.toMatchObject(lost);
    expect(await record(other.jobId)).toMatchObject({ state: 'errored', failure });
  });

  test('as errored changes leased jobs alone', async () => {
    const lease = await held({ maxRetries: 1 });
    await errored(lease);
    expect(await record(lease.jobId)).toMatchObject({ state: 'errored', failure });
    await expect(errored(lease)).rejects.toMatchObject(lost);
    const done = await held();
    await mark(db, kinds, done, 'complete', null);
    await expect(errored(done)).rejects.toMatchObject(lost);
    expect(await record(done.jobId)).toMatchObject({ state: 'completed', failure: null });
  });

  // Upstream's number counts failures, ours counts retries: with 2, a job fails at its second error there, at its third here.
  test('as errored fails the job when its retries are used up', async () => {
    const { id } = await add({ maxRetries: 2 });
    for (const state of ['errored', 'errored', 'failed']) {
      await errored(leaseOf((await take()) as Leased));
      expect(await record(id)).toMatchObject({ state, failure });
      await wait(600);
    }
    expect(await take()).toBeNull();
  });

  test('as failed ends the job with its message, whatever retries it had', async () => {
    const lease = await held({ maxRetries: 5 });
    await mark(db, kinds, lease, 'fail', failure);
    expect(await record(lease.jobId)).toMatchObject({ state: 'failed', failure });
  });
});

describe('a lease that ran out', () => {
  test('lets the job run again, up to its number of resets; a valid lease is left alone', async () => {
    const { jobId } = await held({ maxResets: 1 });
    await elapse(60_000);
    const fresh = await held();
    expect(await expire(db, kinds, 0)).toBe(1);
    expect(await record(jobId)).toMatchObject({ state: 'queued' });
    expect(await record(fresh.jobId)).toMatchObject({ state: 'processing' });
    await take();
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute' where id = ${jobId}`.execute(
      db,
    );
    expect(await expire(db, kinds, 0)).toBe(1);
    expect(await record(jobId)).toMatchObject({ state: 'failed', failure: { reason: 'lease_lost' } });
  });

  test('is left for the next pass while its row is locked', async () => {
    const { jobId } = await held();
    await elapse(60_000);
    await db.transaction().execute(async (tx) => {
      await sql`select from jobs where id = ${jobId} for update`.execute(tx);
      expect(await expire(db, kinds, 0)).toBe(0);
    });
    expect(await expire(db, kinds, 0)).toBe(1);
  });
});

describe('a heartbeat', () => {
  const ends = async () => {
    const { rows } = await sql<{ id: number; at: Date }>`
      select id, lease_expires_at as at from jobs order by id
    `.execute(db);
    return new Map(rows.map(({ id, at }) => [id, at?.getTime()]));
  };

  test('renews the leases that this executor holds and names, and no others', async () => {
    const mine = await held();
    const unnamed = await held();
    await add();
    const others = leaseOf((await take({ executor: 'e2' })) as Leased);
    const waiting = await add();
    const before = await ends();
    const named = [mine.jobId, others.jobId, waiting.id].map((jobId) => ({ jobId, attempt: null }));
    const renewed = await renew('e1', named);
    expect(renewed.map(({ id }) => id)).toEqual([mine.jobId]);
    const after = await ends();
    expect(after.get(mine.jobId)).toBeGreaterThan(before.get(mine.jobId) ?? Infinity);
    for (const id of [unnamed.jobId, others.jobId, waiting.id]) expect(after.get(id)).toBe(before.get(id));
  });

  test('returns which of them are to be canceled', async () => {
    const one = await held();
    const other = await held();
    await cancel(db, kinds, other.jobId);
    const named = [one, other].map(({ jobId }) => ({ jobId, attempt: null }));
    const renewed = await renew('e1', named);
    const canceled = renewed.filter((job) => job.cancel_requested).map(({ id }) => id);
    expect([renewed.length, canceled]).toEqual([2, [other.jobId]]);
    expect(await renew('e2', named)).toEqual([]);
  });
});
