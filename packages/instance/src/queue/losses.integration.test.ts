import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { type Leased, mark } from './queue.ts';
import { pauseAfterLossesMs } from './sql/losses.ts';
import { expire, leaseOf, testQueue } from './testing.ts';

/** An executor that loses its leases, because its heartbeats do not arrive while its requests for jobs do. */
let server: TestServer;
let db: Db;
const { add, take, renew, elapse } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone());
  await renew('e1', []);
  return () => db.destroy();
});

/** Lets the leases of all executors run out. */
async function lose(): Promise<void> {
  await elapse(13_500);
  await expire(db, new Map(), 1_000);
}
/** Moves the last loss of all executors back in time. */
const wait = (seconds: number) =>
  sql`update executors set lost_at = lost_at - make_interval(secs => ${seconds})`.execute(db);
const losses = async () => {
  const { rows } = await sql<{ losses: number }>`select losses from executors where name = 'e1'`.execute(db);
  return rows[0]?.losses;
};

test('gets no other job before its next heartbeat, and does not use up the attempts of jobs', async () => {
  const { id } = await add({ maxResets: 3 });
  await take();
  await lose();
  for (let asked = 0; asked < 4; asked += 1) {
    expect(await take()).toBeNull();
    await wait(1_000);
  }
  expect((await take({ executor: 'e2' }))?.job).toMatchObject({ id, attempt: 2 });
  await add();
  await renew('e1', []);
  expect(await take()).not.toBeNull();
});

test('uses up all attempts of a job when it is not held back, so that the test above can fail', async () => {
  await add({ maxResets: 3 });
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    await sql`update executors set must_beat = false, lost_at = null`.execute(db);
    expect((await take())?.job.attempt).toBe(attempt);
    await lose();
  }
  const { rows } = await sql`select state from jobs`.execute(db);
  expect(rows).toEqual([{ state: 'failed' }]);
});

test('leases again after a pause that grows with its losses, up to a minute, and is forgotten', async () => {
  const pauses: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    await add({ maxResets: 20 });
    expect(await take()).not.toBeNull();
    await lose();
    await renew('e1', []);
    let pause = 0;
    while ((await take()) === null) {
      await wait(1);
      pause += 1;
    }
    pauses.push(pause);
    await sql`update jobs set state = 'queued', executor = null, token_sha256 = null, lease_expires_at = null
      where state = 'processing'`.execute(db);
  }
  expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  expect(pauses).toEqual(pauses.map((_, n) => pauseAfterLossesMs(n + 1) / 1_000));
  await wait(601);
  await take();
  await lose();
  expect(await losses()).toBe(1);
});

test('has a short pause again after it has reported the end of a job', async () => {
  await sql`update executors set losses = 6, lost_at = clock_timestamp() - interval '40 seconds'`.execute(db);
  await add();
  const leased = await take();
  await mark(db, new Map(), leaseOf(leased as Leased), 'complete', null);
  expect(await losses()).toBe(0);
  await add();
  await take();
  await lose();
  expect(await losses()).toBe(1);
});

test('has lost once when it loses several leases before its next heartbeat', async () => {
  for (let n = 0; n < 3; n += 1) {
    await add();
    expect(await take()).not.toBeNull();
  }
  await sql`update jobs set lease_expires_at = clock_timestamp() - make_interval(secs => id)`.execute(db);
  expect(await expire(db, new Map(), 2_500)).toBe(1);
  expect(await expire(db, new Map(), 500)).toBe(2);
  expect(await losses()).toBe(1);
});
