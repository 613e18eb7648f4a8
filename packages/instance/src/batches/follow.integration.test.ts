import { systemClock } from '@fumehood/base';
import type { BatchSpecRecord, WorkspaceState } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { transaction } from '../db/transaction.ts';
import { followBatchSpec } from './follow.ts';

let server: TestServer;
let db: Db;
let spec: { id: number; publicId: string };
beforeAll(async () => {
  server = openTestServer();
  db = connect(await server.clone());
});
afterAll(async () => {
  await db.destroy();
  await server.stop();
});
beforeEach(async () => {
  const { rows } = await sql<typeof spec>`
    insert into batch_specs (creator, namespace, name, text, origin, resolution)
    values ('ann', 'ann', 'greet', '', 'server', 'completed') returning id, public_id as "publicId"
  `.execute(db);
  spec = rows[0] as typeof spec;
});

/** Stores this many workspaces, which are called r1, r2, … */
const add = (count: number) =>
  sql`
    insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches, ignored,
      unsupported, step_count, skipped_steps, state)
    select ${spec.id}, number, 'r' || number, 'b', 'c', '', false, '{}', false, false, 1, '{}', 'pending'
    from generate_series(1, ${count}) as number
  `.execute(db);
const update = (tx: Db, repository: string, state: WorkspaceState) =>
  sql`update batch_workspaces set state = ${state} where spec_id = ${spec.id} and repository = ${repository}`.execute(
    tx,
  );

/** Follows the batch spec. `look` returns what was told up to the next silence or to the end, and `lastId` the id of the last event that had one. */
function follower(after = 0) {
  const gone = new AbortController();
  const ann = { userId: 1, name: 'ann', admin: true, scopes: [], token: { name: 'all', expiresAt: null } };
  const deps = {
    ...{ db, clock: { ...systemClock, sleep: async () => {} } },
    wakes: { subscribe: () => ({ next: async () => 1, close: () => {} }), close: async () => {} },
  };
  const followed = followBatchSpec(deps, ann, spec.publicId, after, gone.signal);
  let lastId: number | null = null;
  const look = async (): Promise<string[] | 'end'> => {
    const told: string[] = [];
    for (;;) {
      const { value, done } = await followed.next();
      if (done) return told.length === 0 ? 'end' : [...told, 'end'];
      if (value.type === 'silence') return told;
      lastId = value.id ?? lastId;
      const { data } = value;
      told.push(
        data.type === 'spec' ? `spec ${data.state}` : `${data.workspace.repository} ${data.workspace.state}`,
      );
    }
  };
  return { look, lastId: () => lastId, end: () => gone.abort() };
}

test('all workspaces come first, and each again once when it or one of its steps has changed, to the end', async () => {
  await add(2);
  const { look } = follower();
  expect(await look()).toEqual(['r1 pending', 'r2 pending', 'spec pending']);
  expect(await look()).toEqual([]);
  await update(db, 'r2', 'processing');
  expect(await look()).toEqual(['r2 processing', 'spec processing']);
  await sql`
    insert into batch_workspace_steps (workspace_id, step, state)
    select id, 0, 'processing' from batch_workspaces where spec_id = ${spec.id} and repository = 'r2'
  `.execute(db);
  expect(await look()).toEqual(['r2 processing']);
  expect(await look()).toEqual([]);
  for (const repository of ['r1', 'r2']) await update(db, repository, 'completed');
  await sql`update batch_specs set built_at = clock_timestamp() where id = ${spec.id}`.execute(db);
  expect(await look()).toEqual(['r1 completed', 'r2 completed', 'spec completed', 'end']);
});

test('a change is not missed that is committed after a later one', async () => {
  await add(2);
  const { look } = follower();
  await look();
  await transaction(db, async (tx) => {
    await update(tx, 'r1', 'queued');
    await update(db, 'r2', 'queued');
    expect(await look()).toEqual(['r2 queued', 'spec processing']);
  });
  expect(await look()).toEqual(['r1 queued', 'spec queued']);
  expect(await look()).toEqual([]);
});

test('a follower resumes after the last event that had an id', async () => {
  await add(3);
  const first = follower();
  await first.look();
  await update(db, 'r3', 'queued');
  await first.look();
  const second = follower(first.lastId() ?? 0);
  expect(await second.look()).toEqual(['spec processing']);
  await update(db, 'r1', 'queued');
  expect(await second.look()).toEqual(['r1 queued']);
  const third = follower(first.lastId() ?? 0);
  expect(await third.look()).toEqual(['r1 queued', 'spec processing']);
});

test('of more workspaces than are read at once each comes once', async () => {
  await add(250);
  const told = await follower().look();
  expect(new Set(told).size).toBe(251);
  expect(told).toHaveLength(251);
});

test('nothing comes of the workspaces of others, and a batch spec that is gone ends the stream', async () => {
  await add(1);
  const other = { ...spec };
  const { rows } = await sql<{ id: number; publicId: string }>`
    insert into batch_specs (creator, namespace, name, text, origin, resolution)
    values ('ann', 'ann', 'other', '', 'server', 'completed') returning id, public_id as "publicId"
  `.execute(db);
  spec = rows[0] as typeof spec;
  await add(1);
  spec = other;
  const { look } = follower();
  expect(await look()).toEqual(['r1 pending', 'spec pending'] satisfies string[]);
  await sql`delete from batch_specs where id = ${spec.id}`.execute(db);
  await expect(look()).rejects.toMatchObject({ code: 'batch_spec_not_found' });
});

test.each<[BatchSpecRecord['resolution'], string]>([
  ['failed', 'spec failed'],
  ['queued', 'spec pending'],
])('a batch spec whose workspaces are %s is told as it is', async (resolution, told) => {
  await sql`update batch_specs set resolution = ${resolution} where id = ${spec.id}`.execute(db);
  expect(await follower().look()).toEqual(resolution === 'failed' ? [told, 'end'] : [told]);
});
