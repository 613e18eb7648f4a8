import {
  batchFileSchema,
  batchSettingsSchema,
  batchSpecRecordSchema,
  createTokenSchema,
  madeTokenSchema,
  scopeSchema,
  type WorkspaceState,
  workspaceDetailSchema,
  workspacePageSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;
const tokens: Record<string, Record<string, string>> = {};
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  for (const user of ['ann', 'bob']) {
    await instance.api('POST', '/api/access/users', { name: user });
    const scopes = scopeSchema.options.filter((scope) => scope !== 'admin');
    const body = createTokenSchema.parse({ name: 'all', user, scopes });
    const made = await (await instance.api('POST', '/api/access/tokens', body)).json();
    tokens[user] = { authorization: `token ${madeTokenSchema.parse(made).secret}` };
  }
  await instance.api('POST', '/api/organisations', { name: 'acme' });
  await instance.api('PUT', '/api/organisations/acme/members/ann');
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

const text = `name: greet
on: [{repository: acme/payments}]
steps: [{run: 'true', container: 'alpine:3'}]
changesetTemplate: {title: a, branch: b, commit: {message: c}}
`;
const as = (user: string, method: string, path: string, body?: unknown) =>
  instance.api(method, path, body, tokens[user]);
async function made(user: string, fields: object = {}) {
  const answer = await as(user, 'POST', '/api/batch-specs', { text, ...fields });
  expect(answer.status).toBe(201);
  return batchSpecRecordSchema.parse(await answer.json());
}
const codeOf = async (answer: Response) => ((await answer.json()) as { error: { code: string } }).error.code;
const nobodys = '0'.repeat(32);

describe('a batch spec', () => {
  test('is of the user who sends it, and is the one that was sent', async () => {
    const spec = await made('ann', { allowIgnored: true, options: { cpus: 2 } });
    expect(spec).toMatchObject({
      // The instance may have found already that it does not have the repository.
      state: expect.stringMatching(/^(pending|failed)$/),
      ...{ namespace: 'ann', name: 'greet', creator: 'ann', origin: 'server', text },
      ...{ allowIgnored: true, allowUnsupported: false, noCache: false, options: { cpus: 2 } },
    });
    const read = await as('ann', 'GET', `/api/batch-specs/${spec.id}`);
    expect(batchSpecRecordSchema.parse(await read.json())).toMatchObject({ id: spec.id });
  });

  test('of another user does not exist; an admin sees it', async () => {
    const { id } = await made('ann');
    for (const path of [id, `${id}/workspaces`, `${id}/events`, nobodys]) {
      const answer = await as('bob', 'GET', `/api/batch-specs/${path}`);
      expect([answer.status, await codeOf(answer)]).toEqual([404, 'batch_spec_not_found']);
    }
    expect((await instance.api('GET', `/api/batch-specs/${id}`)).status).toBe(200);
  });

  test('of an organisation is of its members', async () => {
    const { id } = await made('ann', { namespace: 'org/acme' });
    expect((await as('ann', 'GET', `/api/batch-specs/${id}`)).status).toBe(200);
    expect((await as('bob', 'GET', `/api/batch-specs/${id}`)).status).toBe(404);
    const refused = await as('bob', 'POST', '/api/batch-specs', { text, namespace: 'org/acme' });
    expect([refused.status, await codeOf(refused)]).toEqual([404, 'namespace_not_found']);
  });

  test('that is broken is refused with the place of each mistake', async () => {
    const answer = await as('ann', 'POST', '/api/batch-specs', { text: 'name: a b\nfoo: 1\n' });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      error: {
        code: 'batch_spec_invalid',
        message: expect.stringMatching(/^batch spec:1:7: name: .*\nbatch spec:2:1: Additional property foo/),
      },
    });
  });

  test('has a schema for editors', async () => {
    const schema = await (await as('ann', 'GET', '/api/batch-spec-schema')).json();
    expect(schema).toMatchObject({ title: 'Batch spec', required: ['name'] });
  });
});

describe('a workspace', () => {
  test('is shown with what its steps have written, page by page', async () => {
    const { id } = await made('ann');
    await sql`
      insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches,
        ignored, unsupported, skipped_steps, step_count, state)
      select batch_specs.id, n, 'acme/' || n, 'refs/heads/main', repeat('a', 40), '', false, '{}', false, false, '{}', 1, 'pending'
      from batch_specs, generate_series(1, 3) n where public_id = ${id}
    `.execute(instance.db);
    const page = async (query: string) => {
      const answer = await as('ann', 'GET', `/api/batch-specs/${id}/workspaces${query}`);
      return workspacePageSchema.parse(await answer.json());
    };
    const first = await page('?limit=2');
    expect(first.workspaces.map(({ repository }) => repository)).toEqual(['acme/1', 'acme/2']);
    expect((await page(`?limit=2&after=${first.next}`)).workspaces).toHaveLength(1);
    expect((await page('?state=failed')).workspaces).toEqual([]);
    const path = `/api/batch-specs/${id}/workspaces/${first.workspaces[0]?.id}`;
    const detail = workspaceDetailSchema.parse(await (await as('ann', 'GET', path)).json());
    expect(detail).toMatchObject({ repository: 'acme/1', steps: [], diff: null });
    expect((await as('bob', 'GET', path)).status).toBe(404);
  });
});

describe('a file that steps mount', () => {
  const put = (user: string, spec: string, path: string, bytes: Buffer) =>
    as(user, 'PUT', `/api/batch-specs/${spec}/files/${path}?modifiedAt=2026-01-02T03:04:05Z`, bytes);

  test('is stored by its path, in place of an earlier one', async () => {
    const { id } = await made('ann');
    await put('ann', id, 'scripts/a.sh', Buffer.from('first'));
    const answer = await put('ann', id, 'scripts/a.sh', Buffer.from('second'));
    expect(batchFileSchema.parse(await answer.json())).toMatchObject({ path: 'scripts/a.sh', bytes: 6 });
    expect((await sql`select from batch_files`.execute(instance.db)).rows).toHaveLength(1);
  });

  test('is taken from nobody else, also not from another member of the organisation, and not once it is executed', async () => {
    const { id } = await made('ann');
    expect((await put('bob', id, 'a', Buffer.from('x'))).status).toBe(404);
    const shared = await made('ann', { namespace: 'org/acme' });
    await instance.api('PUT', '/api/organisations/acme/members/bob');
    expect((await put('bob', shared.id, 'a', Buffer.from('x'))).status).toBe(404);
    await instance.api('DELETE', '/api/organisations/acme/members/bob');
    await sql`update batch_specs set executed_at = now() where public_id = ${id}`.execute(instance.db);
    const late = await put('ann', id, 'a', Buffer.from('x'));
    expect([late.status, await codeOf(late)]).toEqual([409, 'batch_spec_executed']);
  });

  test.each(['..%2Fa', 'a%2F..%2F..%2Fb', '%2Fetc', 'a//b'])('at the path %j is refused', async (path) => {
    const { id } = await made('ann');
    expect((await put('ann', id, path, Buffer.from('x'))).status).toBe(400);
  });

  test('with more than 10 MiB is refused', async () => {
    const { id } = await made('ann');
    const answer = await put('ann', id, 'a', Buffer.alloc(10 * 2 ** 20 + 1));
    expect([answer.status, await codeOf(answer)]).toEqual([413, 'batch_file_too_big']);
  });
});

test('the settings of batch changes are set by admins, and read by all', async () => {
  const path = '/api/batch-settings';
  const read = async () => batchSettingsSchema.parse(await (await as('ann', 'GET', path)).json());
  expect(await read()).toEqual({ options: {}, helperImage: null, setBy: null, setAt: null });
  expect((await as('ann', 'PUT', path, { cpus: 2 })).status).toBe(403);
  expect((await instance.api('PUT', path, { cpus: 2 })).status).toBe(200);
  expect(await read()).toMatchObject({ options: { cpus: 2 }, setBy: 'admin' });
  const helperImage = 'sourcegraph/batcheshelper:6.0.0';
  expect((await instance.api('PUT', path, { helperImage })).status).toBe(200);
  expect(await read()).toMatchObject({ options: {}, helperImage });
  expect((await instance.api('PUT', path, { helperImage: 'no image' })).status).toBe(400);
  const unknown = await instance.api('PUT', path, { broker: ['none'] });
  expect([unknown.status, await codeOf(unknown)]).toEqual([404, 'broker_not_found']);
  expect((await instance.api('DELETE', path)).status).toBe(204);
  expect(await read()).toMatchObject({ options: {} });
});

test('a batch spec is executed once, canceled and run again, by those of its namespace alone', async () => {
  const { id } = await made('ann');
  const path = `/api/batch-specs/${id}`;
  for (const action of ['execute', 'cancel', 'retry'])
    expect((await as('bob', 'POST', `${path}/${action}`, {})).status, action).toBe(404);
  const some = await as('ann', 'POST', `${path}/execute`, { workspaces: [nobodys] });
  expect([some.status, await codeOf(some)]).toEqual([404, 'batch_workspace_not_found']);
  const both = await as('ann', 'POST', `${path}/execute`, { workspaces: [nobodys], noCache: true });
  expect([both.status, await codeOf(both)]).toEqual([400, 'invalid_request']);
  const executed = await as('ann', 'POST', `${path}/execute`, { noCache: true });
  expect(batchSpecRecordSchema.parse(await executed.json())).toMatchObject({
    ...{ id, noCache: true, executedAt: expect.any(String) },
  });
  const again = await as('ann', 'POST', `${path}/execute`, {});
  expect([again.status, await codeOf(again)]).toEqual([409, 'batch_spec_executed']);
  expect((await as('ann', 'POST', `${path}/cancel`, {})).status).toBe(200);
  const other = await as('ann', 'POST', `${path}/retry`, { workspaces: [nobodys] });
  expect([other.status, await codeOf(other)]).toEqual([404, 'batch_workspace_not_found']);
});

/** Gives a batch spec a workspace, as if its workspaces were found. Returns the id. */
async function addWorkspace(spec: string, repository: string, state: WorkspaceState) {
  await sql`
    update batch_specs set resolution = 'completed', claim = null where public_id = ${spec}
  `.execute(instance.db);
  const { rows } = await sql<{ id: string }>`
    insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches,
      ignored, unsupported, skipped_steps, step_count, state)
    select id, 1, ${repository}, 'refs/heads/main', repeat('a', 40), '', false, '{}', false, false, '{}', 1, ${state}
    from batch_specs where public_id = ${spec} returning public_id as id
  `.execute(instance.db);
  return rows[0]?.id;
}

test('a batch spec is deleted by those of its namespace, but not while it runs', async () => {
  const { id } = await made('ann');
  await addWorkspace(id, 'acme/deleted', 'processing');
  const path = `/api/batch-specs/${id}`;
  expect((await as('bob', 'DELETE', path)).status).toBe(404);
  const running = await as('ann', 'DELETE', path);
  expect([running.status, await codeOf(running)]).toEqual([409, 'batch_spec_running']);
  const workspaces = sql`update batch_workspaces set state = 'failed' where repository = 'acme/deleted' returning 1`;
  expect((await workspaces.execute(instance.db)).rows).toHaveLength(1);
  expect((await as('ann', 'DELETE', path)).status).toBe(204);
  expect((await as('ann', 'GET', path)).status).toBe(404);
  expect((await workspaces.execute(instance.db)).rows).toEqual([]);
});

test('some workspaces of a batch spec are canceled, of this batch spec alone', async () => {
  const [first, second] = [await made('ann'), await made('ann')];
  const mine = await addWorkspace(first.id, 'a', 'pending');
  await addWorkspace(first.id, 'b', 'pending');
  const other = await addWorkspace(second.id, 'a', 'pending');
  const path = `/api/batch-specs/${first.id}/cancel`;
  const refused = await as('ann', 'POST', path, { workspaces: [mine, other] });
  expect([refused.status, await codeOf(refused)]).toEqual([404, 'batch_workspace_not_found']);
  const canceled = await as('ann', 'POST', path, { workspaces: [mine] });
  expect(batchSpecRecordSchema.parse(await canceled.json())).toMatchObject({
    workspaces: { pending: 1, canceled: 1 },
  });
  const all = await as('ann', 'POST', path);
  expect(batchSpecRecordSchema.parse(await all.json())).toMatchObject({
    workspaces: { pending: 0, canceled: 2 },
  });
});

test('a batch spec is followed to its end', async () => {
  const { id } = await made('ann');
  await addWorkspace(id, 'acme/followed', 'failed');
  const answer = await as('ann', 'GET', `/api/batch-specs/${id}/events`);
  expect(answer.headers.get('content-type')).toBe('text/event-stream');
  const events = (await answer.text()).split('\n\n').filter((one) => one !== '');
  expect(events.map((one) => one.replace(/^data: |^id: \d+\ndata: /, ''))).toMatchObject([
    expect.stringContaining('"repository":"acme/followed"'),
    '{"type":"spec","state":"failed","resolution":"completed"}',
  ]);
});

test('a batch spec is executed as it is sent', async () => {
  const spec = await made('ann', { execute: true });
  expect(spec.executedAt).toEqual(expect.any(String));
});
