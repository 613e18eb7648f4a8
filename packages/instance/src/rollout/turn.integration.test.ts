import { setRolloutSchema, type Waves } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { transaction } from '../db/transaction.ts';
import { readRollout, removeRollout, setRollout } from './settings.ts';
import { resumeWaves, takeTurn } from './turn.ts';

let server: TestServer;
let db: Db;
beforeAll(async () => {
  server = openTestServer();
  db = connect(await server.clone());
});
afterAll(async () => {
  await db.destroy();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from batch_rollout`.execute(db);
  await sql`delete from batch_changes`.execute(db);
});

/** Makes a batch change with changesets that are to be published, and returns their ids. */
async function batchChange(
  waves: Waves | null,
  count: number,
): Promise<{ id: number; changesets: number[] }> {
  const { rows } = await sql<{ id: number }>`
    insert into batch_changes (namespace, name, creator, waves) values ('ann', 'a', 'ann', ${JSON.stringify(waves)}::jsonb) returning id
  `.execute(db);
  const { id = 0 } = rows[0] ?? {};
  const { rows: changesets } = await sql<{ id: number }>`
    insert into changesets (batch_change_id, repository, head_ref, process_after)
    select ${id}, 'r' || place, 'refs/heads/topic', clock_timestamp() + interval '1 hour' from generate_series(1, ${count}) as place returning id
  `.execute(db);
  return { id, changesets: changesets.map((one) => one.id) };
}

/** Claims a changeset as a reconciler does, if it is its turn. */
const claim = (id: number, batchChangeId: number, publishes = true) =>
  transaction(db, async (tx) => {
    const wait = await takeTurn(tx, { id, batchChangeId, publishes }, Date.now());
    if (wait === null)
      await sql`update changesets set reconciler = 'processing' where id = ${id}`.execute(tx);
    return wait;
  });
const published = (id: number, checks: string) =>
  sql`
    update changesets set reconciler = 'completed', publication = 'published', external_state = 'open',
      published_at = clock_timestamp(), checks = ${checks} where id = ${id}
  `.execute(db);
const due = async () =>
  (await sql`select from changesets where process_after <= clock_timestamp()`.execute(db)).rows.length;

test('replicas that claim at the same time publish one wave', async () => {
  const { id, changesets } = await batchChange({ size: 3, failedShareMax: 0 }, 8);
  const waits = await Promise.all(changesets.map((one) => claim(one, id)));
  expect(waits.filter((wait) => wait === null)).toHaveLength(3);
  expect(waits.filter((wait) => wait !== null && wait > Date.now())).toHaveLength(5);
});

test('a wave begins when the checks of the last one are known, and none after one that failed until somebody lets it', async () => {
  const { id, changesets } = await batchChange({ size: 1, failedShareMax: 0.5 }, 3);
  const [one = 0, two = 0, three = 0] = changesets;
  expect(await claim(one, id)).toBeNull();
  expect(await claim(two, id)).toBeGreaterThan(Date.now());
  await published(one, 'pending');
  expect(await claim(two, id)).toBeGreaterThan(Date.now());
  await published(one, 'passed');
  expect(await claim(two, id)).toBeNull();
  await published(two, 'failed');
  expect(await claim(three, id)).toBeGreaterThan(Date.now());
  const stopped = () =>
    sql<{ why: string | null }>`select waves_stopped as why from batch_changes`.execute(db);
  expect((await stopped()).rows).toEqual([
    { why: 'the checks of 1 of the 1 changesets of the last wave have failed' },
  ]);
  await published(two, 'passed');
  expect(await claim(three, id)).toBeGreaterThan(Date.now());
  await published(two, 'failed');
  expect(await due()).toBe(0);
  await resumeWaves(db, id);
  expect((await stopped()).rows).toEqual([{ why: null }]);
  expect(await due()).toBe(1);
  expect(await claim(three, id)).toBeNull();
});

test('what publishes nothing waits for no wave', async () => {
  const { id, changesets } = await batchChange({ size: 1, failedShareMax: 0 }, 2);
  expect(await claim(changesets[0] ?? 0, id)).toBeNull();
  expect(await claim(changesets[1] ?? 0, id, false)).toBeNull();
});

test('what lets changesets go waits for no claim, which may wait for it', async () => {
  const { id, changesets } = await batchChange({ size: 1, failedShareMax: 0 }, 2);
  const [claimed = 0] = changesets;
  await setRollout(db, { windows: [] }, 'admin');
  await sql`update changesets set process_after = clock_timestamp() + interval '1 hour'`.execute(db);
  await sql`update batch_changes set waves_stopped = 'why'`.execute(db);
  await transaction(db, async (tx) => {
    await sql`select from changesets where id = ${claimed} for update`.execute(tx);
    await resumeWaves(db, id);
    await setRollout(db, { windows: null }, 'admin');
    await removeRollout(db);
  });
  expect(await due()).toBe(1);
});

test('a claim waits for nobody who changes the batch change, who may wait for the claim', {
  timeout: 10_000,
}, async () => {
  const { id, changesets } = await batchChange({ size: 1, failedShareMax: 0 }, 3);
  const [one = 0, two = 0, three = 0] = changesets;
  const stopped = async () =>
    (await sql`select from batch_changes where waves_stopped is not null`.execute(db)).rows.length;
  await transaction(db, async (tx) => {
    await sql`update batch_changes set updated_at = clock_timestamp() where id = ${id}`.execute(tx);
    expect(await claim(one, id)).toBeNull();
    await published(one, 'failed');
    expect(await claim(two, id)).toBeGreaterThan(Date.now());
  });
  expect(await stopped()).toBe(0);
  expect(await claim(three, id)).toBeGreaterThan(Date.now());
  expect(await stopped()).toBe(1);
});

test('a rate lets one changeset of all go at a time, and a claim that fails takes no turn', async () => {
  const { id, changesets } = await batchChange(null, 4);
  await setRollout(db, setRolloutSchema.parse({ windows: [{ rate: '2/hour' }] }), 'admin');
  expect(await due()).toBe(4);
  await transaction(db, async (tx) => {
    expect(await takeTurn(tx, { id: 1, batchChangeId: id, publishes: false }, Date.now())).toBeNull();
    throw new Error('the claim fails');
  }).catch(() => {});
  const waits = await Promise.all(changesets.map((one) => claim(one, id, false)));
  expect(waits.filter((wait) => wait === null)).toHaveLength(1);
  for (const wait of waits.filter((one) => one !== null))
    expect(Math.abs(wait - Date.now() - 1_800_000)).toBeLessThan(60_000);
});

test('no window, no change; and what was set can be read and removed', async () => {
  const { id, changesets } = await batchChange(null, 1);
  await expect(readRollout(db)).rejects.toMatchObject({ code: 'rollout_not_found' });
  await expect(removeRollout(db)).rejects.toMatchObject({ code: 'rollout_not_found' });
  const set = await setRollout(db, { windows: [] }, 'admin');
  expect(await readRollout(db)).toEqual(set);
  expect(set).toEqual({ windows: [], setBy: 'admin', setAt: expect.any(String) });
  expect(await claim(changesets[0] ?? 0, id)).toBeGreaterThan(Date.now());
  await setRollout(db, { windows: null }, 'admin');
  expect(await claim(changesets[0] ?? 0, id)).toBeNull();
  await removeRollout(db);
  expect(await claim(changesets[0] ?? 0, id)).toBeNull();
});
