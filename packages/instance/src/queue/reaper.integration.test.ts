import { systemClock } from '@fumehood/base';
import pino from 'pino';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { makeHealth } from '../db/health.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { reap } from './reaper.ts';
import type { Leased } from './queue.ts';
import { readRecord } from './sql/jobs.ts';
import { endLease } from './sql/transitions.ts';
import { leaseOf, testQueue } from './testing.ts';

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
  const reaper = reap(db, new Map(), clock, pino({ enabled: false }), stopping.signal, makeHealth(clock));
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

describe("the database's clock, set back an hour,", () => {
  /** Makes everything that is stored an hour later than the clock shows. */
  const setBack = () =>
    sql`
      update jobs set lease_expires_at = lease_expires_at + interval '1 hour', rank_at = rank_at + interval '1 hour',
        queued_at = queued_at + interval '1 hour', process_after = process_after + interval '1 hour'
    `.execute(db);
  const hour = 3_600_000;

  test('delays no waiting job and no retry, and jobs keep their order', async () => {
    const retried = await add({ maxRetries: 1, retryPauseMs: 500 });
    await endLease(db, leaseOf((await take()) as Leased), 'error', null);
    const first = await add();
    const important = await add({ priority: 5 });
    const asked = await add({ processAfter: new Date(Date.now() + 2 * hour) });
    await setBack();
    expect(await take()).toBeNull(); // what happens without the reaper
    await reaping(systemClock, async () => {
      const order: number[] = [];
      const takeUntil = (count: number) =>
        expect
          .poll(async () => {
            const leased = await take();
            if (leased) order.push(leased.job.id);
            return order.length;
          })
          .toBe(count);
      await takeUntil(1);
      const last = await add();
      await takeUntil(4);
      expect(order).toEqual([important.id, first.id, last.id, retried.id]);
    });
    expect(await stateOf(asked.id)).toBe('queued');
  });

  test('while the reaper runs, keeps no lease of a dead executor alive, and ends none early', async () => {
    const { id } = await add();
    await take();
    let boot = 1_000_000;
    const clock = { ...systemClock, bootTime: () => boot };
    await reaping(clock, async () => {
      await systemClock.sleep(300);
      await setBack();
      boot += hour;
      const left = async () => {
        const { rows } = await sql<{ ms: number }>`
          select extract(epoch from lease_expires_at - clock_timestamp())::float8 * 1000 as ms from jobs
        `.execute(db);
        return rows[0]?.ms ?? 0;
      };
      await expect.poll(left, { timeout: 5_000 }).toBeLessThan(12_000);
      expect(await left()).toBeGreaterThan(10_000);
      expect(await stateOf(id)).toBe('processing');
    });
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
