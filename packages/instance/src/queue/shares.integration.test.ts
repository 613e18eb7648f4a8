import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { mark } from './queue.ts';
import { closeEmptyLines } from './sql/lines.ts';
import { readQueuePosition, setShareWeight } from './sql/shares.ts';
import { expire, type JobChanges, leaseOf, testQueue } from './testing.ts';

let server: TestServer;
let db: Db;
const { add, take, elapse } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 4 });
  return () => db.destroy();
});

const addMany = async (count: number, changes: JobChanges) => {
  for (let n = 0; n < count; n += 1) await add(changes);
};
/** Returns the tenants in the order in which their jobs are leased. */
async function order(count: number): Promise<string[]> {
  const tenants: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const leased = await take();
    if (!leased) break;
    tenants.push(leased.job.tenant);
  }
  return tenants;
}
const share = (tenants: readonly string[], tenant: string) =>
  tenants.filter((one) => one === tenant).length / tenants.length;

describe('shares', () => {
  test('of equal weight alternate, however many jobs one of them has queued before', async () => {
    await addMany(30, { tenant: 'many' });
    await addMany(3, { tenant: 'few' });
    const leased = await order(8);
    expect(leased.slice(0, 6).toSorted()).toEqual(['few', 'few', 'few', 'many', 'many', 'many']);
    expect(leased.slice(6)).toEqual(['many', 'many']);
  });

  test('of different weights get leases in proportion to them', async () => {
    await setShareWeight(db, 'heavy', 'runs', 3);
    await addMany(24, { tenant: 'heavy' });
    await addMany(24, { tenant: 'light' });
    expect(share(await order(24), 'heavy')).toBeCloseTo(0.75, 1);
  });

  test('of one tenant in two queues do not affect each other', async () => {
    await addMany(6, { tenant: 'acme', queue: 'codeintel' });
    await addMany(6, { tenant: 'acme', queue: 'runs' });
    const queues: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      queues.push((await take({ queues: ['runs', 'codeintel'] }))?.job.queue ?? '');
    }
    expect(queues.filter((queue) => queue === 'runs')).toHaveLength(3);
  });

  test('earn no credit while they have no jobs', async () => {
    await add({ tenant: 'idle' });
    await order(1);
    await addMany(20, { tenant: 'busy' });
    await closeEmptyLines(db);
    await order(10);
    await addMany(10, { tenant: 'idle' });
    // It does not get the ten leases that it did not use: it gets one, and then they alternate.
    expect(share(await order(8), 'idle')).toBeLessThan(0.75);
  });

  test('are not blocked by jobs that no executor can run', async () => {
    await addMany(50, { tenant: 'waits', labels: ['gpu'] });
    await addMany(2, { tenant: 'waits' });
    await add({ tenant: 'runs' });
    expect((await order(4)).toSorted()).toEqual(['runs', 'waits', 'waits']);
  });
});

describe('within a share', () => {
  test('jobs with different demands start in the order of queueing', async () => {
    const ids: number[] = [];
    for (const cpus of [1, 2, 1, 2, 2]) ids.push((await add({ cpus })).id);
    const leased: (number | undefined)[] = [];
    for (let n = 0; n < ids.length; n += 1) leased.push((await take())?.job.id);
    expect(leased).toEqual(ids);
  });

  test('a point of priority is worth exactly one minute', async () => {
    const old = await add();
    const older = await add();
    await sql`update jobs set rank_at = rank_at - interval '150 seconds' where id = ${older.id}`.execute(db);
    await sql`update jobs set rank_at = rank_at - interval '90 seconds' where id = ${old.id}`.execute(db);
    const urgent = await add({ priority: 2 });
    const leased: (number | undefined)[] = [];
    for (let n = 0; n < 3; n += 1) leased.push((await take())?.job.id);
    expect(leased).toEqual([older.id, urgent.id, old.id]);
  });

  test('priority does not start a job before its `processAfter`', async () => {
    await add({ priority: 100, processAfter: new Date(Date.now() + 60_000) });
    expect(await take()).toBeNull();
  });

  test('a job whose lease was lost keeps its place', async () => {
    const first = await add({ maxResets: 3 });
    await add();
    await take();
    await elapse(20_000);
    await expire(db, new Map(), 0);
    expect((await take())?.job.id).toBe(first.id);
  });
});

describe('a line', () => {
  const busy = async () => {
    const { rows } = await sql<{ busy: boolean }>`select busy from lines order by id`.execute(db);
    return rows.map((row) => row.busy);
  };

  test('without waiting jobs is closed, and reopened with the next job', async () => {
    await add();
    await closeEmptyLines(db);
    expect(await busy()).toEqual([true]);
    await take();
    await closeEmptyLines(db);
    expect(await busy()).toEqual([false]);
    const { id } = await add();
    expect(await busy()).toEqual([true]);
    expect((await take())?.job.id).toBe(id);
  });

  test('that was closed while its job ran is reopened when the job waits again', async () => {
    const retried = await add({ maxRetries: 1, retryPauseMs: 0 });
    const leased = await take();
    await closeEmptyLines(db);
    if (leased) await mark(db, new Map(), leaseOf(leased), 'error', { reason: 'vmm_died', message: 'no' });
    const again = await take();
    expect(again?.job).toMatchObject({ id: retried.id, attempt: 2 });
    if (again) await mark(db, new Map(), leaseOf(again), 'complete', null);
    const lost = await add({ cpus: 2 });
    await take();
    await closeEmptyLines(db);
    await elapse(20_000);
    await expire(db, new Map(), 0);
    expect(await busy()).toContain(true);
    expect((await take())?.job).toMatchObject({ id: lost.id, attempt: 2 });
  });

  test('never stays closed with a waiting job, however enqueues and closing interleave', async () => {
    const done = new AbortController();
    const tidy = (async () => {
      while (!done.signal.aborted) await closeEmptyLines(db);
    })();
    const hidden: number[] = [];
    for (let n = 0; n < 150; n += 1) {
      const { id } = await add();
      if ((await take())?.job.id !== id) hidden.push(id);
    }
    done.abort();
    await tidy;
    expect(hidden).toEqual([]);
  });
});

describe('the queue position of a job', () => {
  test('counts the jobs of its own share before it, and the leases of the other shares', async () => {
    await addMany(3, { tenant: 'acme' });
    const { id } = await add({ tenant: 'acme' });
    await addMany(2, { tenant: 'acme' });
    await addMany(2, { tenant: 'small' });
    await addMany(50, { tenant: 'big' });
    const standing = await readQueuePosition(db, id);
    expect(standing).toMatchObject({ own: 3, share: 1 / 3, pace: null });
    // Two jobs of the small share, and as many of the big one as of its own, give or take a tie.
    expect(standing?.others).toBeGreaterThanOrEqual(5);
    expect(standing?.others).toBeLessThanOrEqual(6);
  });

  test('is the number of leases that come before it', async () => {
    await addMany(8, { tenant: 'other' });
    await addMany(2, { tenant: 'acme' });
    const { id } = await add({ tenant: 'acme' });
    const standing = await readQueuePosition(db, id);
    let ahead = 0;
    while ((await take())?.job.id !== id) ahead += 1;
    expect(Math.abs(ahead - ((standing?.own ?? 0) + (standing?.others ?? 0)))).toBeLessThanOrEqual(1);
  });

  test('has the pace of the attempts that ended lately', async () => {
    await addMany(3, {});
    for (let n = 0; n < 2; n += 1) {
      const leased = await take();
      if (leased) await mark(db, new Map(), leaseOf(leased), 'complete', null);
    }
    const { id } = await add();
    expect((await readQueuePosition(db, id))?.pace).toBeCloseTo(2 / 600, 5);
  });

  test('is undefined for a job that does not wait', async () => {
    const { id } = await add();
    await take();
    expect(await readQueuePosition(db, id)).toBeUndefined();
  });
});
