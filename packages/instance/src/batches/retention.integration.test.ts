import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { batchDigests, removeOldBatchSpecs } from './retention.ts';

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

/** Stores a batch spec of so many days ago, with one workspace. */
async function add(name: string, days: number, state = 'completed'): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into batch_specs (creator, namespace, name, text, origin, resolution, created_at)
    values ('ann', 'ann', ${name}, '', 'server', 'completed', clock_timestamp() - make_interval(days => ${days})) returning id
  `.execute(db);
  const id = rows[0]?.id ?? 0;
  await sql`
    insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches, ignored,
      unsupported, step_count, skipped_steps, state)
    values (${id}, 1, ${name}, 'b', 'c', '', false, '{}', false, false, 1, '{}', ${state})
  `.execute(db);
  return id;
}
const addChangesetSpec = (spec: number | null, diff: string) => sql<{ id: number }>`
  insert into changeset_specs (creator, spec_id, kind, repository, diff, created_at)
  values ('ann', ${spec}, 'branch', 'r', ${diff}, clock_timestamp() - interval '8 days') returning id
`;
const addResult = (days: number, diff: string) => sql<{ id: number }>`
  insert into batch_step_results (creator, key, step, skipped, diff, diff_bytes, added_lines, deleted_lines, changes, stdout, stderr, outputs,
    created_at)
  values ('ann', ${diff}, 0, false, ${diff}, 1, 0, 0, '{}', '', '', '{}', clock_timestamp() - make_interval(days => ${days})) returning id
`;

test('a batch spec that nobody has applied goes after a week, unless it runs or its changesets are there', async () => {
  await add('new', 6);
  await add('old', 8);
  await add('runs', 8, 'processing');
  const applied = await add('applied', 8);
  const { rows } = await sql<{ id: number }>`
    insert into batch_changes (namespace, name, creator, spec_id) values ('ann', 'x', 'ann', ${applied}) returning id
  `.execute(db);
  const followed = await add('followed', 8);
  const made = await addChangesetSpec(followed, 'diff of followed').execute(db);
  await sql`
    insert into changesets (batch_change_id, repository, reconciled_spec_id) values (${rows[0]?.id}, 'r', ${made.rows[0]?.id})
  `.execute(db);
  await addChangesetSpec(null, 'diff of nobody').execute(db);
  await addResult(31, 'result of nobody').execute(db);
  await addResult(29, 'new result').execute(db);
  const kept = await addResult(31, 'result of applied').execute(db);
  await sql`
    insert into batch_workspace_steps (workspace_id, step, state, result_id)
    select id, 0, 'completed', ${kept.rows[0]?.id} from batch_workspaces where spec_id = ${applied}
  `.execute(db);
  await sql`
    insert into batch_files (spec_id, path, digest, bytes, modified_at) values (${applied}, 'f', 'file of applied', 1, clock_timestamp())
  `.execute(db);

  expect(await removeOldBatchSpecs(db)).toBe(1);
  const left = await sql<{ name: string }>`select name from batch_specs order by id`.execute(db);
  expect(left.rows.map(({ name }) => name)).toEqual(['new', 'runs', 'applied', 'followed']);
  expect((await batchDigests(db)).sort()).toEqual([
    ...['diff of followed', 'file of applied', 'new result', 'result of applied'],
  ]);
  expect(await removeOldBatchSpecs(db)).toBe(0);
});
