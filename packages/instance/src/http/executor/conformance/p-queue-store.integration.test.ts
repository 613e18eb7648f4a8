import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobLease } from '../../../queue/job.ts';
import { connect, type Db } from '../../../db/connect.ts';
import { startTestServer, type TestServer } from '../../../db/testing.ts';
import { addEntry, changeEntry } from '../../../logs/logs.ts';
import { cancel, type Leased, mark } from '../../../queue/queue.ts';
import { listShares } from '../../../queue/sql/shares.ts';
import { readRecord } from '../../../queue/sql/jobs.ts';
import { expire, type JobChanges, leaseOf, testQueue } from '../../../queue/testing.ts';

/** The vectors of upstream's queue store (reference §10.16), as far as ours has the same. P2 and P7, of gauges and views, have none. */
let server: TestServer;
let db: Db;
const kinds = new Map();
beforeAll(async () => {
  server = await startTestServer();
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
const said = { reason: 'step_failed', message: 'oops' };
const errored = (lease: JobLease) => mark(db, kinds, lease, 'error', said);
const lost = { code: 'lease_lost' };
const facts = { key: 'k', command: ['a'], startTime: '2023-01-02T03:04:15Z', exitCode: 0, durationMs: 1 };
/** As if this much more time had passed for what waits. */
const wait = (minutes: number) =>
  sql`update jobs set queued_at = queued_at - make_interval(mins => ${minutes}),
        rank_at = rank_at - make_interval(mins => ${minutes}),
        process_after = process_after - make_interval(mins => ${minutes})`.execute(db);

test('P1: what waits is queued or will be tried again; what runs is apart, what has failed is nowhere', async () => {
  await errored(await held({ maxRetries: 1 }));
  await mark(db, kinds, await held(), 'fail', said);
  await held();
  await add();
  expect(await listShares(db)).toMatchObject([{ waiting: 2, running: 1 }]);
});

describe('a dequeue', () => {
  test('P3: takes the oldest; what runs or has ended is not there', async () => {
    await held();
    await mark(db, kinds, await held(), 'complete', null);
    const first = await add();
    await add();
    expect((await take())?.job.id).toBe(first.id);
  });

  test('P4: takes only what meets its conditions', async () => {
    await add({ queue: 'codeintel' });
    await add({ labels: ['gpu'] });
    expect(await take()).toBeNull();
    expect(await take({ labels: ['gpu'] })).not.toBeNull();
  });

  // Upstream forgets the entries of the attempt before.
  test('P5: begins a log of its own, and that of the attempt before stays', async () => {
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

  // Told when the job is made: nothing that runs is put back (P11).
  test('P6, P11: leaves alone what is not to start yet, and takes it when its time has come', async () => {
    const { id } = await add({ processAfter: new Date(Date.now() + 300_000) });
    expect(await take()).toBeNull();
    await wait(6);
    expect((await take())?.job.id).toBe(id);
  });

  test('P8: gives two workers different jobs, and a third one none', async () => {
    await add();
    await add();
    const taken = await Promise.all(['e1', 'e2', 'e3'].map((executor) => take({ executor })));
    const ids = taken.map((leased) => leased?.job.id).filter((id) => id !== undefined);
    expect(new Set(ids).size).toBe(2);
  });

  test('P9: takes what has failed and may be retried after its pause, in the order of its time', async () => {
    const lease = await held({ maxRetries: 1, retryPauseMs: 300_000 });
    await errored(lease);
    await wait(4);
    expect(await take()).toBeNull();
    await wait(2);
    await add();
    expect((await take())?.job.id).toBe(lease.jobId);
    await mark(db, kinds, await held(), 'fail', said);
    await wait(60);
    expect(await take()).not.toBeNull(); // the newer one
    expect(await take()).toBeNull();
  });

  test('P10: never takes again what may not be retried', async () => {
    await errored(await held({ maxRetries: 0 }));
    await wait(600);
    expect(await take()).toBeNull();
  });
});

describe('a log entry', () => {
  test('P12: is numbered from 1, and kept in order', async () => {
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

  test('P13: is replaced by its number; there is none at 0, nor beyond the last', async () => {
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
  test('P14: as complete ends what runs, without a message; what waits for a retry keeps its own', async () => {
    const lease = await held();
    await mark(db, kinds, lease, 'complete', null);
    expect(await record(lease.jobId)).toMatchObject({ state: 'completed', failure: null });
    const other = await held({ maxRetries: 1 });
    await errored(other);
    await expect(mark(db, kinds, other, 'complete', null)).rejects.toMatchObject(lost);
    expect(await record(other.jobId)).toMatchObject({ state: 'errored', failure: said });
  });

  test('P15: as errored is for what runs alone', async () => {
    const lease = await held({ maxRetries: 1 });
    await errored(lease);
    expect(await record(lease.jobId)).toMatchObject({ state: 'errored', failure: said });
    await expect(errored(lease)).rejects.toMatchObject(lost);
    const done = await held();
    await mark(db, kinds, done, 'complete', null);
    await expect(errored(done)).rejects.toMatchObject(lost);
    expect(await record(done.jobId)).toMatchObject({ state: 'completed', failure: null });
  });

  // Upstream's number counts failures, ours tries after the first: where it says 2 a job fails with its second, here with its third.
  test('P16: as errored fails the job when its retries are used up', async () => {
    const { id } = await add({ maxRetries: 2 });
    for (const state of ['errored', 'errored', 'failed']) {
      await errored(leaseOf((await take()) as Leased));
      expect(await record(id)).toMatchObject({ state, failure: said });
      await wait(600);
    }
    expect(await take()).toBeNull();
  });

  test('P17: as failed ends the job with its message, whatever retries it had', async () => {
    const lease = await held({ maxRetries: 5 });
    await mark(db, kinds, lease, 'fail', said);
    expect(await record(lease.jobId)).toMatchObject({ state: 'failed', failure: said });
  });
});

describe('P18: a lease that ran out', () => {
  test('lets the job run again, until that has happened too often; a fresh one is left alone', async () => {
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

  test('is left for later while somebody holds its row', async () => {
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

  test('P19: renews what this executor runs and names, and nothing else', async () => {
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

  test('P20: tells which of them are to be canceled', async () => {
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
