import { systemClock } from '@fumehood/base';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { reap } from './reaper.ts';
import { readRecord } from './sql/jobs.ts';
import { testQueue } from './testing.ts';

let server: TestServer;
let db: Db;
const { add, take, elapse } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone());
  return () => db.destroy();
});

/** Runs the reaper while `during` runs. */
async function reaping(clock: typeof systemClock, during: () => Promise<void>): Promise<void> {
  const stopping = new AbortController();
  const reaper = reap(db, new Map(), clock, pino({ enabled: false }), stopping.signal);
  await during().finally(() => stopping.abort());
  await reaper;
}
const stateOf = async (id: number) => (await readRecord(db, id))?.state;

test('the reaper ends a lease that ran out', async () => {
  const { id } = await add();
  await take();
  await reaping(systemClock, async () => {
    await elapse(13_500);
    await expect.poll(() => stateOf(id), { timeout: 5_000 }).toBe('queued');
  });
});

test("the reaper does not end a lease that ran out only because the database's clock was set forward", async () => {
  const { id } = await add();
  await take();
  // The clock of this process stands still, so the database's clock jumps ahead from round to round.
  let boot = 1_000_000;
  let rounds = 0;
  const clock = {
    ...systemClock,
    bootTime: () => boot,
    async sleep() {
      rounds += 1;
      await systemClock.sleep(400);
    },
  };
  const someRounds = async () => {
    const from = rounds;
    await expect.poll(() => rounds, { timeout: 10_000 }).toBeGreaterThan(from + 5);
  };
  await reaping(clock, async () => {
    await someRounds();
    await elapse(11_900); // which leaves 100 ms
    await someRounds();
    expect(await stateOf(id)).toBe('processing');
    // The new time is believed when every lease from before the step is over.
    boot += 26_000;
    await expect.poll(() => stateOf(id), { timeout: 10_000 }).toBe('queued');
  });
});
