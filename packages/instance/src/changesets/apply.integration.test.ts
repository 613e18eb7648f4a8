import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  archiveChangesets,
  closeBatchChange,
  detachChangesets,
  publishChangesets,
  reenqueueChangesets,
} from './actions.ts';
import { applyBatchSpec } from './apply.ts';
import { listBatchChanges, listChangesets, readBatchChange, upsertBatchChange } from './batch-changes.ts';
import { buildChangesetSpecs } from './build.ts';
import { createChangesetSpecs } from './client-specs.ts';
import { previewBatchSpec } from './preview.ts';
import { storeDiff } from './store.ts';
import {
  type ChangesetBench,
  clientSpec,
  diffAdding,
  personNamed,
  pretendReconciled,
  startChangesetBench,
} from './testing.ts';

let bench: ChangesetBench;
beforeAll(async () => {
  bench = await startChangesetBench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await bench.clear();
  await bench.mirror('acme/api', null);
  await bench.mirror('acme/web', null);
});
const refused = (code: string) => expect.objectContaining({ code }) as Error;
const apply = (id: string, options: Parameters<typeof applyBatchSpec>[3] = {}) =>
  applyBatchSpec(bench, bench.person, id, options);
const states = async (batchChange: string) =>
  (await listChangesets(bench.db, bench.person, batchChange)).map(
    ({ repository, state }) => `${repository} ${state}`,
  );
const operations = async (spec: string) =>
  (await previewBatchSpec(bench.db, bench.person, spec)).changesets.map(
    ({ repository, operations: all }) => `${repository} ${all.join(' ')}`,
  );

test('a batch spec is previewed and applied; the next one changes, adds and ends changesets', async () => {
  const { db, person } = bench;
  const first = await bench.spec('tidy', [clientSpec('acme/api'), clientSpec('acme/web')]);
  expect(await previewBatchSpec(db, person, first.id)).toMatchObject({
    ...{ batchChange: null, namespace: 'ann', name: 'tidy', stats: { nothing: 2 } },
    changesets: [
      {
        ...{
          changeset: null,
          changesetSpec: first.changesets[0],
          repository: 'acme/api',
          headRef: 'refs/heads/fix',
        },
        ...{
          title: 'Fix',
          published: null,
          stat: { files: 1, addedLines: 1, deletedLines: 0 },
          operations: ['nothing'],
        },
      },
      { repository: 'acme/web' },
    ],
  });
  const publicationStates = first.changesets.map((changesetSpec) => ({
    changesetSpec,
    publication: true as const,
  }));
  const { publicId } = await apply(first.id, { publicationStates });
  expect(await states(publicId)).toEqual(['acme/api scheduled', 'acme/web scheduled']);
  expect(await apply(first.id, { publicationStates })).toMatchObject({ publicId });
  expect(await states(publicId)).toHaveLength(2);
  await pretendReconciled(db);
  expect(await operations(first.id)).toEqual(['acme/api nothing', 'acme/web nothing']);
  await apply(first.id);
  expect(await states(publicId)).toEqual(['acme/api pushed', 'acme/web pushed']);

  const second = await bench.spec('tidy', [
    clientSpec('acme/api', { message: 'Fix it well' }),
    clientSpec('acme/api', {}, { headRef: 'refs/heads/other', published: true }),
  ]);
  expect(await operations(second.id)).toEqual(['acme/api push', 'acme/api push', 'acme/web archive']);
  await apply(second.id);
  expect(await states(publicId)).toEqual(['acme/api scheduled', 'acme/api scheduled', 'acme/web scheduled']);
  expect(await readBatchChange(db, person, publicId)).toMatchObject({
    ...{ state: 'open', spec: second.id, appliedBy: 'ann', description: 'd', changesets: { scheduled: 3 } },
  });
});

test('what was not published is let go when its spec has it no longer', async () => {
  const { publicId } = await apply(
    (await bench.spec('tidy', [clientSpec('acme/api'), clientSpec('acme/web')])).id,
  );
  expect(await states(publicId)).toEqual(['acme/api unpublished', 'acme/web unpublished']);
  expect(await operations((await bench.spec('tidy', [])).id)).toEqual(['acme/api detach', 'acme/web detach']);
});

test('an archived changeset comes back with its branch', async () => {
  const both = [clientSpec('acme/api', {}, { published: true })];
  const { publicId } = await apply((await bench.spec('tidy', both)).id);
  await sql`update changesets set publication = 'pushed', reconciler = 'completed', archived_at = now()`.execute(
    bench.db,
  );
  expect(await states(publicId)).toEqual(['acme/api pushed']);
  await apply((await bench.spec('tidy', both)).id);
  const changesets = await listChangesets(bench.db, bench.person, publicId);
  expect(changesets).toMatchObject([{ repository: 'acme/api', archivedAt: null }]);
});

test('a branch is of one batch change at a time', async () => {
  await apply((await bench.spec('tidy', [clientSpec('acme/api')])).id);
  const other = await bench.spec('other', [clientSpec('acme/api')]);
  await expect(apply(other.id)).rejects.toThrow(refused('changeset_branch_taken'));
  await expect(apply(other.id)).rejects.toThrow('that of a changeset of the batch change ann/tidy');
  expect(await listBatchChanges(bench.db, bench.person, { limit: 10 })).toMatchObject([{ name: 'tidy' }]);
});

test('a repository on a code host gets a changeset there', async () => {
  await sql`
    insert into code_hosts (name, kind, url, token, set_by) values ('forge', 'gitea', 'https://forge.test', '\\x00', 'a')
  `.execute(bench.db);
  await bench.mirror('forge/api', 'https://forge.test/acme/api');
  const { id } = await bench.spec('tidy', [clientSpec('forge/api', {}, { published: 'draft' })]);
  expect(await operations(id)).toEqual(['forge/api push publish']);
});

test('other people see nothing of it, and the scope of a namespace holds', async () => {
  const { id } = await bench.spec('tidy', [clientSpec('acme/api')]);
  const { publicId } = await apply(id);
  const { db } = bench;
  const bob = personNamed('bob');
  await expect(applyBatchSpec(bench, bob, id, {})).rejects.toThrow(refused('batch_spec_not_found'));
  await expect(previewBatchSpec(db, bob, id)).rejects.toThrow(refused('batch_spec_not_found'));
  await expect(readBatchChange(db, bob, publicId)).rejects.toThrow(refused('batch_change_not_found'));
  await expect(listChangesets(db, bob, publicId)).rejects.toThrow(refused('batch_change_not_found'));
  await expect(closeBatchChange(db, bob, publicId, { closeChangesets: true })).rejects.toThrow(
    refused('batch_change_not_found'),
  );
  await expect(upsertBatchChange(db, bob, { namespace: 'ann', name: 'x' })).rejects.toThrow(
    refused('namespace_not_found'),
  );
  expect(await listBatchChanges(db, bob, { limit: 10 })).toEqual([]);
  expect(await listBatchChanges(db, { ...bob, admin: true }, { limit: 10 })).toHaveLength(1);
});

test('people publish, archive, let go and retry changesets, and close the batch change', async () => {
  const { db, person } = bench;
  const { publicId } = await apply(
    (await bench.spec('tidy', [clientSpec('acme/api'), clientSpec('acme/web', {}, { published: false })])).id,
  );
  const [api = '', web = ''] = (await listChangesets(db, person, publicId)).map(({ id }) => id);
  await publishChangesets(db, person, publicId, { changesets: [api], publication: true });
  await expect(
    publishChangesets(db, person, publicId, { changesets: [api, web], publication: true }),
  ).rejects.toThrow(refused('publication_decided'));
  await expect(archiveChangesets(db, person, publicId, [api, 'f'.repeat(32)])).rejects.toThrow(
    refused('changeset_not_found'),
  );
  expect(await states(publicId)).toEqual(['acme/api scheduled', 'acme/web unpublished']);
  await sql`update changesets set reconciler = 'failed', failure = 'no'`.execute(db);
  await reenqueueChangesets(db, person, publicId, [web]);
  expect(await states(publicId)).toEqual(['acme/api failed', 'acme/web scheduled']);
  await archiveChangesets(db, person, publicId, [api]);
  await detachChangesets(db, person, publicId, [web]);
  const { rows } = await sql`select archiving, detaching from changesets order by id`.execute(db);
  expect(rows).toEqual([
    { archiving: true, detaching: false },
    { archiving: false, detaching: true },
  ]);
  await sql`update changesets set external_state = 'open', publication = 'published'`.execute(db);
  await closeBatchChange(db, person, publicId, { closeChangesets: true });
  const closed = await readBatchChange(db, person, publicId);
  await closeBatchChange(db, person, publicId, { closeChangesets: true });
  expect(await readBatchChange(db, person, publicId)).toMatchObject({
    state: 'closed',
    closedAt: closed.closedAt,
  });
});

test('a batch change is made once, as a draft', async () => {
  const { db, person } = bench;
  const made = await upsertBatchChange(db, person, { namespace: 'ann', name: 'tidy' });
  expect(await upsertBatchChange(db, person, { namespace: 'ann', name: 'tidy' })).toEqual(made);
  expect(await readBatchChange(db, person, made.publicId)).toMatchObject({ state: 'draft', spec: null });
});

test('a changeset spec of a client is checked', async () => {
  const create = (spec: object | string) =>
    createChangesetSpecs({ ...bench, repositoryOf: (id) => id }, bench.person, [
      typeof spec === 'string' ? spec : JSON.stringify(spec),
    ]);
  await expect(create('{')).rejects.toThrow(refused('changeset_spec_invalid'));
  await expect(create(clientSpec('acme/api', {}, { headRef: 'refs/heads/main' }))).rejects.toThrow(
    refused('changeset_spec_invalid'),
  );
  await expect(create(clientSpec('acme/api', {}, { headRef: 'refs/tags/v1' }))).rejects.toThrow('headRef');
  await expect(create(clientSpec('acme/api', {}, { commits: [] }))).rejects.toThrow(
    refused('changeset_spec_invalid'),
  );
  await expect(create(clientSpec('acme/none'))).rejects.toThrow(refused('repository_not_found'));
  await expect(create(clientSpec('acme/api', { diff: diffAdding('../x') }))).rejects.toThrow(
    refused('diff_invalid'),
  );
  await create({ baseRepository: 'acme/api', externalID: 12 });
  const encoded = { version: 2, message: 'm', diff: Buffer.from(diffAdding('x')).toString('base64') };
  await create(clientSpec('acme/api', {}, { commits: [encoded] }));
  await expect(bench.spec('tidy', [clientSpec('acme/api'), clientSpec('acme/api')])).rejects.toThrow(
    refused('changeset_branch_duplicate'),
  );
});

test('the results of workspaces become changeset specs, once', async () => {
  const { db, blobs, person } = bench;
  const text = JSON.stringify({
    ...{ name: 'tidy', steps: [{ run: 'true', container: 'alpine' }] },
    importChangesets: [{ repository: 'acme/web', externalIDs: [7] }],
    changesetTemplate: { title: 't', branch: 'fix', commit: { message: 'm' }, published: true },
  });
  const { rows } = await sql<{ id: number; publicId: string }>`
    insert into batch_specs (creator, namespace, name, text, origin, resolution)
    values ('ann', 'ann', 'tidy', ${text}, 'server', 'completed') returning id, public_id as "publicId"
  `.execute(db);
  const [spec] = rows;
  if (!spec) throw new Error('no batch spec');
  await expect(apply(spec.publicId)).rejects.toThrow(refused('batch_spec_not_built'));
  for (const [repository, state] of [
    ['acme/api', 'completed'],
    ['acme/web', 'failed'],
  ])
    await sql`
      with workspace as (
        insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches, ignored,
          unsupported, step_count, skipped_steps, state)
        values (${spec.id}, 0, ${repository}, 'refs/heads/main', ${'1'.repeat(40)}, '', false, '{}', false, false, 1, '{}', ${state}) returning id
      ), result as (
        insert into batch_step_results (creator, key, step, skipped, diff, diff_bytes, added_lines, deleted_lines, changes, stdout, stderr, outputs)
        values ('ann', 'k', 0, false, ${await storeDiff(blobs, Buffer.from(diffAdding('x')))}, 1, 1, 0,
          '{"modified":[],"added":["x"],"deleted":[],"renamed":[]}', '', '', '{}') returning id
      )
      insert into batch_workspace_steps (workspace_id, step, state, result_id) select workspace.id, 0, 'completed', result.id from workspace, result
    `.execute(db);
  await buildChangesetSpecs(bench, spec.id);
  await buildChangesetSpecs(bench, spec.id);
  expect(await operations(spec.publicId)).toEqual(['acme/api push', 'acme/web import']);
  await sql`update batch_specs set built_at = null`.execute(db);
  await sql`update batch_workspaces set state = 'completed'`.execute(db);
  await buildChangesetSpecs(bench, spec.id);
  expect(await operations(spec.publicId)).toEqual(['acme/api push', 'acme/web push', 'acme/web import']);
  expect((await previewBatchSpec(db, person, spec.publicId)).stats).toEqual({ push: 2, import: 1 });
});

test('a batch spec of which a workspace was canceled is neither previewed nor applied', async () => {
  const { db, person } = bench;
  const { id } = await bench.spec('tidy', [clientSpec('acme/api')]);
  await sql`
    insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches, ignored,
      unsupported, step_count, skipped_steps, state)
    select id, 1, 'acme/web', 'refs/heads/main', repeat('a', 40), '', false, '{}', false, false, 1, '{}', 'canceled'
    from batch_specs where public_id = ${id}
  `.execute(db);
  await expect(previewBatchSpec(db, person, id)).rejects.toEqual(refused('batch_spec_canceled'));
  await expect(apply(id)).rejects.toEqual(refused('batch_spec_canceled'));
});

test('users who change a batch change and its changesets do so one after the other', async () => {
  const { db, person } = bench;
  const spec = await bench.spec('tidy', [clientSpec('acme/api')]);
  const { id, publicId } = await apply(spec.id);
  const ids = (await listChangesets(db, person, publicId)).map((one) => one.id);
  const { archiving } = await db.transaction().execute(async (tx) => {
    await sql`update batch_changes set updated_at = clock_timestamp() where id = ${id}`.execute(tx);
    const waiting = archiveChangesets(db, person, publicId, ids);
    const waiters = async () =>
      (await sql`select from pg_locks where not granted and locktype = 'transactionid'`.execute(db)).rows
        .length;
    await expect.poll(waiters, { interval: 20, timeout: 10_000 }).toBe(1);
    await sql`select from changesets where batch_change_id = ${id} for update nowait`.execute(tx);
    return { archiving: waiting };
  });
  await archiving;
});
