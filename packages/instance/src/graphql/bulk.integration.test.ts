import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { applyBatchSpec } from '../changesets/apply.ts';
import { listChangesets } from '../changesets/batch-changes.ts';
import { type ChangesetBench, clientSpec, personNamed, startChangesetBench } from '../changesets/testing.ts';
import { idOf } from './ids.ts';
import { ask as askOf, refusal } from './testing/ask.ts';

/** What upstream's clients ask for with several changesets of Ann's at once. No reconciler runs: the tests say what it has done. */
let bench: ChangesetBench;
/** The batch change, and its two changesets on a code host. */
let batchChange: string;
let changesets: string[];
beforeAll(async () => {
  bench = await startChangesetBench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await bench.clear();
  await bench.run(
    "insert into code_hosts (name, kind, url, token, set_by) values ('forge', 'gitea', 'https://forge.test', '', 'a')",
  );
  for (const name of ['acme/api', 'acme/web']) await bench.mirror(name, `https://forge.test/${name}`);
  const { id } = await bench.spec('tidy', [clientSpec('acme/api'), clientSpec('acme/web')]);
  const { publicId } = await applyBatchSpec(bench, bench.person, id, {});
  await bench.run(
    "update changesets set reconciler = 'completed', publication = 'published', external_state = 'open', external_id = '1'",
  );
  batchChange = idOf('BatchChange', publicId);
  changesets = (await listChangesets(bench.db, bench.person, publicId)).map((one) =>
    idOf('Changeset', one.id),
  );
});

const ask = (query: string, variables: Record<string, unknown> = {}, person = bench.person) =>
  askOf({ db: bench.db }, person, query, { batchChange, changesets, ...variables });
const fields = `id type state progress changesetCount finishedAt initiator { username }
  errors { error changeset { id ... on ExternalChangeset { repository { name } } } }`;
const start = async (
  field: string,
  given = '',
  variables: Record<string, unknown> = {},
  person = bench.person,
) => {
  const query = `mutation M($batchChange: ID!, $changesets: [ID!]!) {
    ${field}(batchChange: $batchChange, changesets: $changesets${given}) { ${fields} } }`;
  const answer = await ask(query, variables, person);
  return { ...answer, operation: answer.data?.[field] as { id: string } };
};
const read = async (id: string) =>
  (await ask('query Q($id: ID!) { node(id: $id) { ... on BulkOperation { ' + fields + ' } } }', { id })).data
    ?.node;
const columns = (names: string) => bench.run(`select ${names} from changesets order by repository`);

test.each([
  ['mergeChangesets', ', squash: true', 'MERGE', 'merging', { merging: 'squash' }],
  ['closeChangesets', '', 'CLOSE', 'closing', { closing: true }],
  [
    'createChangesetComments',
    ', body: "Why?"',
    'COMMENT',
    "comments -> 0 ->> 'body' as body",
    { body: 'Why?' },
  ],
  ['detachChangesets', '', 'DETACH', 'detaching', { detaching: true }],
])('%s is an operation that the reconciler ends', async (field, given, type, names, wish) => {
  const { operation } = await start(field, given);
  const begun = { id: operation.id, type, changesetCount: 2, initiator: { username: 'ann' }, errors: [] };
  expect(operation).toEqual({ ...begun, state: 'PROCESSING', progress: 0, finishedAt: null });
  expect(await columns(names)).toEqual([wish, wish]);
  await bench.run("update changesets set reconciler = 'completed' where repository = 'acme/api'");
  expect(await read(operation.id)).toEqual({
    ...begun,
    state: 'PROCESSING',
    progress: 0.5,
    finishedAt: null,
  });
  await bench.run(
    "update changesets set reconciler = 'failed', failures = 1, failure = 'the host refuses' where repository = 'acme/web'",
  );
  const failed = {
    ...begun,
    ...{ state: 'FAILED', progress: 1, finishedAt: expect.any(String) },
    errors: [
      { error: 'the host refuses', changeset: { id: changesets[1], repository: { name: 'acme/web' } } },
    ],
  };
  expect(await read(operation.id)).toEqual(failed);
  // What is asked for later does not change how it has ended.
  await start('reenqueueChangesets');
  await bench.run("update changesets set reconciler = 'completed', failure = null");
  expect(await read(operation.id)).toEqual(failed);
});

test('an operation that nobody has looked at has ended as it was before the next request', async () => {
  const { operation } = await start('closeChangesets');
  await bench.run("update changesets set reconciler = 'completed', closing = false");
  const { operation: next } = await start('createChangesetComments', ', body: "b"');
  expect(await read(operation.id)).toMatchObject({ state: 'COMPLETED', progress: 1 });
  // This failure is one of before.
  await bench.run("update changesets set reconciler = 'failed', failures = 0, failure = 'an older one'");
  expect(await read(next.id)).toMatchObject({ state: 'COMPLETED', errors: [] });
  const list = `query Q($id: ID!) { node(id: $id) { ... on BatchChange {
    bulkOperations(first: 1) { totalCount nodes { id } pageInfo { endCursor } } } } }`;
  expect((await ask(list, { id: batchChange })).data).toEqual({
    node: { bulkOperations: { totalCount: 2, nodes: [{ id: next.id }], pageInfo: { endCursor: '1' } } },
  });
});

test('what is refused makes no operation', async () => {
  const bob = personNamed('bob');
  for (const [field, given, variables, person, code] of [
    ['mergeChangesets', '', {}, bob, 'batch_change_not_found'],
    ['mergeChangesets', '', { changesets: [idOf('Changeset', 'x')] }, bench.person, 'changeset_not_found'],
    ['createChangesetComments', ', body: " "', {}, bench.person, 'invalid_request'],
    ['closeChangesets', '', { changesets: Array<string>(1_001).fill('x') }, bench.person, 'invalid_request'],
  ] as const)
    expect(await start(field, given, variables, person)).toMatchObject(refusal(code));
  await bench.run("update changesets set external_state = 'merged'");
  expect(await start('closeChangesets')).toMatchObject(refusal('changeset_not_open'));
  expect(await bench.run('select from bulk_operations')).toEqual([]);
});

test('an operation is seen by nobody else', async () => {
  const { operation } = await start('closeChangesets');
  const query = 'query Q($id: ID!) { node(id: $id) { id } }';
  expect(await ask(query, { id: operation.id }, personNamed('bob'))).toEqual({ data: { node: null } });
});
