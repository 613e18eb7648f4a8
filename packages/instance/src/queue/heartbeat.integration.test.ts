import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { cancel, recordHeartbeat } from './queue.ts';
import { recordExecutor } from './sql/executors.ts';
import { type Heartbeat, type HeldJob, renewLeases, renewMany } from './sql/heartbeats.ts';
import { testQueue } from './testing.ts';

/** Batched heartbeats. Single ones are tested in `queue.integration.test.ts`. */
let server: TestServer;
let db: Db;
const kinds = new Map();
const { add, take, renew } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 12 });
  return () => db.destroy();
});

/** Adds a job and leases it to this executor. */
async function runBy(executor: string): Promise<HeldJob> {
  await add();
  const leased = await take({ executor });
  return { jobId: leased?.job.id as number, attempt: 1 };
}
const credential = async (name: string) => {
  const { rows } = await sql<{ id: number }>`
    insert into executor_credentials (name) values (${name}) returning id`.execute(db);
  return rows[0]?.id as number;
};
const heartbeatOf = (
  name: string,
  credentialId: number,
  held: readonly HeldJob[] = [],
  version = '1',
  machine: string | null = null,
): Heartbeat => ({
  report: {
    ...{ name, credentialId, version, native: true, queues: ['runs'], tiers: ['container'], offer: null },
    ...{ machine, network: null, beat: { trouble: null } },
  },
  held,
});
const ids = (renewed: readonly { id: number }[] | undefined) => renewed?.map(({ id }) => id);
const executors = async () => {
  const { rows } = await sql<{ name: string; version: string; at: string }>`
    select name, version, last_seen_at::text as at from executors order by name`.execute(db);
  return rows;
};

/** Locks rows in another transaction. Returns the function that releases them. */
async function lockRows(rows: string): Promise<() => Promise<void>> {
  const held = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = db.transaction().execute(async (tx) => {
    await sql.raw(`${rows} for update`).execute(tx);
    held.resolve();
    await promise;
  });
  await held.promise;
  return async () => {
    resolve();
    await done;
  };
}

describe('concurrent heartbeats', () => {
  test('get an answer each', async () => {
    const [one, other] = [await runBy('e1'), await runBy('e2')];
    await cancel(db, kinds, other.jobId);
    // The first heartbeat of each registers the executor.
    for (let round = 1; round <= 2; round += 1) {
      const [first, second, third] = await Promise.all([
        renew('e1', [one]),
        renew('e2', [other]),
        renew('e3', [one]),
      ]);
      expect(first).toMatchObject([{ id: one.jobId, cancel_requested: false }]);
      expect(second).toMatchObject([{ id: other.jobId, cancel_requested: true }]);
      expect(third).toEqual([]);
    }
  });

  test('of one executor all get an answer', async () => {
    const held = await runBy('e1');
    for (let round = 1; round <= 2; round += 1) {
      const answers = await Promise.all([1, 2, 3].map(() => renew('e1', [held])));
      expect(answers.map(ids)).toEqual([[held.jobId], [held.jobId], [held.jobId]]);
    }
  });

  test.each([
    ['job row', (held: HeldJob) => `select from jobs where id = ${held.jobId}`],
    ['executor row', () => `select from executors where name = 'e1'`],
  ])(
    'do not wait for one whose %s is locked; that one gets its answer after the release',
    async (_, rows) => {
      const [slow, quick] = [await runBy('e1'), await runBy('e2')];
      await Promise.all([renew('e1', [slow]), renew('e2', [quick])]);
      await sql`update executors set last_seen_at = last_seen_at - interval '1 minute'`.execute(db);
      const release = await lockRows(rows(slow));
      const waiting = renew('e1', [slow]);
      for (let round = 1; round <= 3; round += 1)
        expect(ids(await renew('e2', [quick]))).toEqual([quick.jobId]);
      await release();
      expect(ids(await waiting)).toEqual([slow.jobId]);
    },
  );

  test('do not fail with one that cannot be stored', async () => {
    const held = await runBy('e1');
    await renew('e1', [held]);
    const [broken, good] = await Promise.allSettled([renew('e\0', []), renew('e1', [held])]);
    expect(broken?.status).toBe('rejected');
    expect(good).toMatchObject({ status: 'fulfilled', value: [{ id: held.jobId }] });
  });

  test('under a name of another credential are refused and renew nothing', async () => {
    const [own, other] = [await credential('own'), await credential('other')];
    const held = await runBy('e1');
    await recordHeartbeat(db, kinds, heartbeatOf('e1', own));
    const end = async () => (await sql`select lease_expires_at as at from jobs`.execute(db)).rows;
    const before = await end();
    const heartbeats = [heartbeatOf('e1', other, [held]), heartbeatOf('e2', other)].map((one) =>
      recordHeartbeat(db, kinds, one),
    );
    expect(await Promise.allSettled(heartbeats)).toMatchObject([
      { reason: { code: 'forbidden' } },
      { value: { renewed: [] } },
    ]);
    expect(await end()).toEqual(before);
    expect(ids((await recordHeartbeat(db, kinds, heartbeatOf('e1', own, [held]))).renewed)).toEqual([
      held.jobId,
    ]);
  });

  test('are one commit, however many they are', async () => {
    const own = await credential('own');
    const heartbeats = Array.from({ length: 100 }, (_, n) => heartbeatOf(`e${n}`, own));
    await Promise.all(heartbeats.map((one) => recordHeartbeat(db, kinds, one)));
    await sql`update executors set last_seen_at = last_seen_at - interval '1 minute'`.execute(db);
    const answers = await renewMany(db, heartbeats);
    expect(answers).toEqual(heartbeats.map(() => ({ draining: false, canceling: false, renewed: [] })));
    const { rows } = await sql`select distinct xmin::text from executors`.execute(db);
    expect(rows).toHaveLength(1);
  });
});

test('a changed report is stored at once, an unchanged one every few seconds', async () => {
  const own = await credential('own');
  const report = (version: string) => recordHeartbeat(db, kinds, heartbeatOf('e1', own, [], version));
  await report('1');
  const first = await executors();
  await report('1');
  await report('');
  expect(await executors()).toEqual(first);
  await report('2');
  const second = await executors();
  expect(second).toMatchObject([{ version: '2' }]);
  await sql`update executors set last_seen_at = last_seen_at - interval '5 seconds'`.execute(db);
  await report('2');
  expect((await executors())[0]?.at).not.toBe(second[0]?.at);
  expect(Date.parse((await executors())[0]?.at ?? '')).toBeGreaterThanOrEqual(
    Date.parse(second[0]?.at ?? ''),
  );
});

describe('an executor name that another machine uses', () => {
  const heard = (ago: string) =>
    sql`update executors set last_seen_at = clock_timestamp() + ${ago}::interval`.execute(db);

  test('is refused, and the jobs of the first one go on, also one that is being canceled', async () => {
    const own = await credential('own');
    const send = (machine: string | null, held: readonly HeldJob[] = []) =>
      recordHeartbeat(db, kinds, heartbeatOf('e1', own, held, '1', machine));
    await send('here');
    const job = await runBy('e1');
    await cancel(db, kinds, job.jobId);
    await expect(send('there')).rejects.toMatchObject({ code: 'executor_name_in_use', status: 409 });
    const { rows } = await sql`select state from jobs`.execute(db);
    expect(rows).toEqual([{ state: 'processing' }]);
    expect(ids((await send('here', [job])).renewed)).toEqual([job.jobId]);
    // Without the machine's name nothing tells the two apart, and the job of the first one ends.
    await send(null);
    expect((await sql`select state from jobs`.execute(db)).rows).toEqual([{ state: 'canceled' }]);
  });

  test('can be taken over when nobody was heard of under it for as long as a lease lasts', async () => {
    const own = await credential('own');
    const send = (machine: string) => recordHeartbeat(db, kinds, heartbeatOf('e1', own, [], '1', machine));
    await send('here');
    await heard('-9 s');
    await expect(send('there')).rejects.toMatchObject({ code: 'executor_name_in_use' });
    await heard('-11 s');
    await send('there');
    await expect(send('here')).rejects.toMatchObject({ code: 'executor_name_in_use' });
    await heard('1 hour'); // the clock was set back
    await send('here');
  });
});

test('batched heartbeats get the same answers as single ones', {
  timeout: 60_000,
}, async () => {
  const own = await credential('own');
  const names = ['e0', 'e1', 'e2', 'e3'];
  for (const name of names) await recordExecutor(db, heartbeatOf(name, own).report);
  const jobIds: number[] = [];
  for (let n = 0; n < 24; n += 1) jobIds.push((await runBy(`e${n % 4}`)).jobId);
  await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 second' where id % 5 = 0`.execute(
    db,
  );
  for (const id of jobIds.filter((one) => one % 3 === 0)) await cancel(db, kinds, id);
  const held = fc.record({
    jobId: fc.constantFrom(...jobIds, 4711),
    attempt: fc.constantFrom<(number | null)[]>(null, 1, 2),
  });
  const samples = fc.sample(
    fc.record({ name: fc.constantFrom(...names), held: fc.array(held, { maxLength: 6 }) }),
    { numRuns: 200, seed: 9 },
  );
  const heartbeats = samples.map((one) => heartbeatOf(one.name, own, one.held));
  const sorted = (renewed: readonly { id: number }[]) => renewed.toSorted((a, b) => a.id - b.id);
  const batched = (await renewMany(db, heartbeats)).map(
    (one) => one && { ...one, renewed: sorted(one.renewed) },
  );
  for (const [n, { report, held: jobs }] of heartbeats.entries()) {
    const { renewed, canceling } = await renewLeases(db, report.name, report.queues, jobs);
    expect(batched[n]).toEqual({ draining: false, canceling, renewed: sorted(renewed) });
  }
});
