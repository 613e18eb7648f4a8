import {
  batchChangeRecordSchema,
  batchChangesSchema,
  changesetsSchema,
  createTokenSchema,
  madeTokenSchema,
  previewSchema,
  scopeSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;
let bob: Record<string, string>;
/** A batch spec of the admin that is executed, with one changeset that the batch spec leaves unpublished or says nothing of. */
let spec: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  await instance.api('POST', '/api/access/users', { name: 'bob' });
  const scopes = scopeSchema.options.filter((scope) => scope !== 'admin');
  const body = createTokenSchema.parse({ name: 'all', user: 'bob', scopes });
  const made = await (await instance.api('POST', '/api/access/tokens', body)).json();
  bob = { authorization: `token ${madeTokenSchema.parse(made).secret}` };
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  // In the order in which the reconciler locks rows.
  for (const table of ['changesets', 'batch_changes', 'batch_specs'])
    await sql`delete from ${sql.ref(table)}`.execute(instance.db);
  const { rows } = await sql<{ id: string }>`
    with spec as (
      insert into batch_specs (creator, namespace, name, text, origin, resolution, built_at)
      values ('admin', 'admin', 'greet', 'name: greet', 'client', 'completed', now()) returning *
    ), changeset as (
      insert into changeset_specs (creator, spec_id, kind, repository, base_ref, base_commit, head_ref, title, body, message,
        author_name, author_email, diff, files, added_lines, deleted_lines)
      select 'admin', id, 'branch', 'acme/payments', 'refs/heads/main', repeat('a', 40), 'refs/heads/greet', 'Greet', '', 'm',
        'a', 'a@a.test', 'sha256:' || repeat('b', 64), 1, 2, 3 from spec
    )
    select public_id as id from spec
  `.execute(instance.db);
  spec = rows[0]?.id ?? '';
});

const ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
  instance.api(method, path, body, headers);
const applied = async () =>
  batchChangeRecordSchema.parse(await (await ask('POST', `/api/batch-specs/${spec}/apply`, {})).json());
const changesetsOf = async (id: string) =>
  changesetsSchema.parse(await (await ask('GET', `/api/batch-changes/${id}/changesets`)).json()).changesets;

test('a preview says what would happen, and changes nothing', async () => {
  const path = `/api/batch-specs/${spec}/preview`;
  const preview = previewSchema.parse(await (await ask('GET', path)).json());
  expect(preview).toMatchObject({
    ...{ batchChange: null, namespace: 'admin', name: 'greet' },
    changesets: [{ repository: 'acme/payments', stat: { files: 1, addedLines: 2, deletedLines: 3 } }],
  });
  const { batchChanges } = batchChangesSchema.parse(await (await ask('GET', '/api/batch-changes')).json());
  expect(batchChanges).toEqual([]);
  expect((await ask('GET', path, undefined, bob)).status).toBe(404);
});

test('an applied batch spec makes a batch change, and applying it again changes nothing', async () => {
  const first = await applied();
  expect(first).toMatchObject({ namespace: 'admin', name: 'greet', state: 'open', spec, appliedBy: 'admin' });
  const changesets = await changesetsOf(first.id);
  expect(changesets).toMatchObject([{ repository: 'acme/payments', headRef: 'refs/heads/greet' }]);
  expect((await applied()).id).toBe(first.id);
  expect((await changesetsOf(first.id)).map(({ id }) => id)).toEqual(changesets.map(({ id }) => id));
  const { batchChanges } = batchChangesSchema.parse(
    await (await ask('GET', '/api/batch-changes?name=greet&state=open')).json(),
  );
  expect(batchChanges.map(({ id }) => id)).toEqual([first.id]);
});

test('a batch change of others does not exist on any route, and is not changed', async () => {
  const { id } = await applied();
  const [changeset] = await changesetsOf(id);
  const some = { changesets: [changeset?.id] };
  const path = `/api/batch-changes/${id}`;
  for (const [method, url, body] of [
    ['GET', path, undefined],
    ['GET', `${path}/changesets`, undefined],
    ['DELETE', path, undefined],
    ['POST', `${path}/move`, { name: 'theirs' }],
    ['POST', `${path}/close`, {}],
    ['POST', `${path}/resume`, undefined],
    ['POST', `${path}/publish`, { ...some, publication: true }],
    ['POST', `${path}/merge`, some],
    ['POST', `${path}/comment`, { ...some, body: 'b' }],
    ['POST', `${path}/close-changesets`, some],
    ['POST', `${path}/archive`, some],
    ['POST', `${path}/detach`, some],
    ['POST', `${path}/reenqueue`, some],
  ] as const)
    expect((await ask(method, url, body, bob)).status, url).toBe(404);
  const { batchChanges } = batchChangesSchema.parse(
    await (await ask('GET', '/api/batch-changes', undefined, bob)).json(),
  );
  expect(batchChanges).toEqual([]);
  expect((await ask('GET', path)).status).toBe(200);
});

test('changesets are published, merged, archived and detached, and a batch change is closed', async () => {
  const { id } = await applied();
  await sql`
    insert into code_hosts (name, kind, url, token, set_by) values ('forge', 'gitea', 'https://forge.test', '', 'a') on conflict do nothing
  `.execute(instance.db);
  await instance.api('PUT', '/api/repositories/acme/payments', { url: 'https://forge.test/acme/payments' });
  await sql`update changesets set external_state = 'open', process_after = 'infinity'`.execute(instance.db);
  const [changeset] = await changesetsOf(id);
  const some = { changesets: [changeset?.id] };
  const path = `/api/batch-changes/${id}`;
  for (const [action, body] of [
    ['publish', { ...some, publication: 'draft' }],
    ['merge', { ...some, squash: true }],
    ['comment', { ...some, body: 'b' }],
    ['close-changesets', some],
    ['archive', some],
    ['reenqueue', some],
    ['resume', undefined],
    ['detach', some],
  ] as const) {
    const answer = await ask('POST', `${path}/${action}`, body);
    expect(answer.status, action).toBe(200);
    expect(batchChangeRecordSchema.parse(await answer.json()).id).toBe(id);
  }
  const none = await ask('POST', `${path}/archive`, { changesets: ['0'.repeat(32)] });
  expect(none.status).toBe(404);
  const closed = await ask('POST', `${path}/close`, { closeChangesets: true });
  expect(batchChangeRecordSchema.parse(await closed.json())).toMatchObject({ state: 'closed' });
});

test('a batch change gets another name and namespace, unless that is taken or of others', async () => {
  const { id } = await applied();
  const path = `/api/batch-changes/${id}/move`;
  await ask('POST', '/api/organisations', { name: 'acme' });
  const moved = await ask('POST', path, { namespace: 'org/acme', name: 'hello' });
  expect(batchChangeRecordSchema.parse(await moved.json())).toMatchObject({
    ...{ id, namespace: 'org/acme', name: 'hello' },
  });
  await sql`insert into batch_changes (namespace, name, creator) values ('org/acme', 'other', 'ann')`.execute(
    instance.db,
  );
  for (const [body, status, code] of [
    [{ name: 'other' }, 409, 'batch_change_name_taken'],
    [{ namespace: 'org/none' }, 404, 'namespace_not_found'],
    [{ name: 'a b' }, 400, 'invalid_request'],
  ] as const) {
    const refused = await ask('POST', path, body);
    expect([refused.status, await refused.json()]).toMatchObject([status, { error: { code } }]);
  }
  // The batch spec has the old name, and its branch is that of a changeset of the batch change.
  const again = await ask('POST', `/api/batch-specs/${spec}/apply`, {});
  expect(await again.json()).toMatchObject({ error: { code: 'changeset_branch_taken' } });
});

test('a batch change is deleted, but not while the instance is at one of its changesets', async () => {
  const { id } = await applied();
  const path = `/api/batch-changes/${id}`;
  const claimedFor = (time: string) =>
    sql`
      update changesets set reconciler = 'processing', claimed_until = clock_timestamp() + ${time}::interval
    `.execute(instance.db);
  await claimedFor('1 hour');
  const busy = await ask('DELETE', path);
  expect([busy.status, await busy.json()]).toMatchObject([409, { error: { code: 'batch_change_busy' } }]);
  const refused = await ask('DELETE', `/api/batch-specs/${spec}`);
  expect(await refused.json()).toMatchObject({ error: { code: 'batch_spec_applied' } });
  await sql`
    update changesets set reconciler = 'completed', claimed_until = null, external_state = 'open'
  `.execute(instance.db);
  expect((await ask('DELETE', path)).status).toBe(204);
  expect((await ask('GET', path)).status).toBe(404);
  expect((await ask('DELETE', `/api/batch-specs/${spec}`)).status).toBe(204);
  expect((await ask('GET', `/api/batch-specs/${spec}`)).status).toBe(404);
});
