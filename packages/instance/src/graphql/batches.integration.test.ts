import { gzipSync } from 'node:zlib';
import { createTokenSchema, madeTokenSchema, type Scope } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { idOf } from './ids.ts';

/** What upstream's clients ask of batch changes, of which Ann and her organisation have some. */
let server: TestServer;
let instance: TestInstance;
let ann: string;
let reader: string;
let bob: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  for (const name of ['ann', 'bob']) await instance.api('POST', '/api/access/users', { name });
  await instance.api('POST', '/api/organisations', { name: 'acme' });
  await instance.api('PUT', '/api/organisations/acme/members/ann');
  ann = await tokenOf('ann', ['code:read', 'code:write']);
  reader = await tokenOf('ann', ['code:read']);
  bob = await tokenOf('bob', ['code:read', 'code:write']);
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from batch_specs`.execute(instance.db);
});

async function tokenOf(user: string, scopes: Scope[]): Promise<string> {
  const body = createTokenSchema.parse({ name: `${user}${scopes.length}`, user, scopes });
  return madeTokenSchema.parse(await (await instance.api('POST', '/api/access/tokens', body)).json()).secret;
}

/** Asks as upstream's clients do, with a body that is gzipped. */
async function ask(token: string, query: string, variables: object | null = null) {
  const answer = await instance.api('POST', '/.api/graphql', gzipSync(JSON.stringify({ query, variables })), {
    ...{ authorization: `token ${token}`, 'content-type': 'application/json', 'content-encoding': 'gzip' },
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as { data?: Record<string, unknown>; errors?: unknown };
}
const refusal = (code: string) => ({ errors: [expect.objectContaining({ extensions: { code } })] });

const create = `mutation M($batchSpec: String!, $namespace: ID!) {
  createBatchSpecFromRaw(batchSpec: $batchSpec, namespace: $namespace, allowIgnored: true, allowUnsupported: false, noCache: false) {
    id state applyURL originalInput allowIgnored noCache namespace { url }
  }
}`;
const text =
  'name: hello\nsteps: [{ run: "true", container: "alpine:3" }]\nchangesetTemplate: { title: t, branch: b, commit: { message: m } }\n';
const mine = { namespace: idOf('User', 'ann'), batchSpec: text };

describe('a namespace', () => {
  test.each([
    ['ann', { user: { id: idOf('User', 'ann'), url: '/users/ann' }, organization: null }],
    ['acme', { user: null, organization: { id: idOf('Org', 'acme'), url: '/organizations/acme' } }],
    ['org/acme', { user: null, organization: null }],
    ['bob', { user: null, organization: null }],
  ])('%s is found by who may use it', async (name, data) => {
    const query =
      'query Q($name: String!) { user(username: $name) { id url } organization(name: $name) { id url } }';
    expect(await ask(ann, query, { name })).toEqual({ data });
  });

  test('of the person who asks has the same id', async () => {
    expect(await ask(reader, '{ currentUser { id url siteAdmin } }')).toEqual({
      data: { currentUser: { id: idOf('User', 'ann'), url: '/users/ann', siteAdmin: false } },
    });
  });
});

describe('a batch spec', () => {
  const resolution = `query Q($id: ID!) { node(id: $id) { id ... on BatchSpec {
    workspaceResolution { state failureMessage workspaces { totalCount } } } } }`;
  const made = async () => {
    const { data } = await ask(ann, create, mine);
    const spec = (data as { createBatchSpecFromRaw: { id: string } }).createBatchSpecFromRaw;
    const state = async () => JSON.stringify((await ask(ann, resolution, { id: spec.id })).data);
    await expect.poll(state).toContain('COMPLETED');
    return spec;
  };

  test('is stored, and its workspaces are found then', async () => {
    const spec = await made();
    expect(spec).toEqual({
      ...{
        id: expect.any(String),
        state: expect.any(String),
        originalInput: text,
        allowIgnored: true,
        noCache: false,
      },
      ...{ namespace: { url: '/users/ann' }, applyURL: `/users/ann/batch-changes/apply/${spec.id}` },
    });
    const found = async () => (await ask(ann, resolution, { id: spec.id })).data;
    const workspaceResolution = { state: 'COMPLETED', failureMessage: null, workspaces: { totalCount: 0 } };
    expect(await found()).toEqual({ node: { id: spec.id, workspaceResolution } });
    await sql`update batch_specs set resolution = 'failed', resolution_failure = 'no such repository'`.execute(
      instance.db,
    );
    const failed = { ...workspaceResolution, state: 'FAILED', failureMessage: 'no such repository' };
    expect(await found()).toEqual({ node: { id: spec.id, workspaceResolution: failed } });
  });

  test('has its workspaces in pages', async () => {
    const { id } = await made();
    await sql`
      insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches,
        ignored, unsupported, skipped_steps, step_count, state)
      select max(id), n, 'acme/' || n, 'refs/heads/main', ${'0'.repeat(40)}, 'a', true, '{}', false, false, '{}', 1,
        case when n = 3 then 'skipped' else 'pending' end
      from batch_specs, generate_series(1, 3) n group by n
    `.execute(instance.db);
    const query = `query Q($id: ID!, $after: String, $state: BatchSpecWorkspaceState) { node(id: $id) { ... on BatchSpec {
      workspaceResolution { workspaces(first: 2, after: $after, state: $state) {
        totalCount pageInfo { endCursor hasNextPage }
        nodes { state ... on VisibleBatchSpecWorkspace {
          path branch { name } repository { name externalRepository { serviceType } } steps { number } diffStat { added }
        } }
      } } } } }`;
    const page = async (variables: object) => {
      const { data } = await ask(ann, query, { id, ...variables });
      return (data as { node: { workspaceResolution: { workspaces: { pageInfo: { endCursor: string } } } } })
        .node.workspaceResolution.workspaces;
    };
    const node = (n: number, state: string) => ({
      ...{ state, path: 'a', branch: { name: 'refs/heads/main' }, steps: [], diffStat: null },
      repository: { name: `acme/${n}`, externalRepository: { serviceType: 'other' } },
    });
    const first = await page({});
    expect(first).toMatchObject({ totalCount: 3, nodes: [node(1, 'PENDING'), node(2, 'PENDING')] });
    expect(await page({ after: first.pageInfo.endCursor })).toEqual({
      ...{ totalCount: 3, nodes: [node(3, 'SKIPPED')], pageInfo: { endCursor: null, hasNextPage: false } },
    });
    expect(await page({ state: 'SKIPPED' })).toMatchObject({ totalCount: 1, nodes: [node(3, 'SKIPPED')] });
  });

  test('is executed once, canceled, and run again', async () => {
    const { id } = await made();
    const change = async (field: string, token = ann) => {
      const { data, errors } = await ask(token, `mutation M($id: ID!) { ${field} { id } }`, { id });
      return errors ? { errors } : data;
    };
    const execute = 'executeBatchSpec(batchSpec: $id, noCache: true)';
    expect(await change(execute, bob)).toMatchObject(refusal('batch_spec_not_found'));
    expect(await change(execute)).toEqual({ executeBatchSpec: { id } });
    expect(await change(execute)).toMatchObject(refusal('batch_spec_executed'));
    for (const field of ['cancelBatchSpecExecution', 'retryBatchSpecExecution']) {
      expect(await change(`${field}(batchSpec: $id)`, bob)).toMatchObject(refusal('batch_spec_not_found'));
      await expect.poll(() => change(`${field}(batchSpec: $id)`)).toEqual({ [field]: { id } });
    }
    for (const field of [
      'cancelBatchSpecWorkspaceExecution',
      'retryBatchSpecWorkspaceExecution',
      'enqueueBatchSpecWorkspaceExecution',
    ]) {
      const asked = `mutation { ${field}(batchSpecWorkspaces: ["${idOf('VisibleBatchSpecWorkspace', 'x')}"]) { alwaysNil } }`;
      expect(await ask(ann, asked)).toMatchObject(refusal('batch_workspace_not_found'));
    }
  });

  test('is seen by nobody else', async () => {
    const { id } = await made();
    for (const [token, other] of [
      [bob, id],
      [ann, idOf('BatchSpec', '0'.repeat(32))],
      [ann, idOf('Repository', 'x')],
      [ann, '%'],
    ] as const)
      expect(await ask(token, resolution, { id: other })).toEqual({ data: { node: null } });
  });

  test.each([
    ['in the namespace of somebody else', { ...mine, namespace: idOf('User', 'bob') }, 'namespace_not_found'],
    [
      'in something that is no namespace',
      { ...mine, namespace: idOf('Repository', 'x') },
      'namespace_not_found',
    ],
    ['that is none', { ...mine, batchSpec: 'name: a b\n' }, 'batch_spec_invalid'],
  ])('%s is refused', async (_, variables, code) => {
    expect(await ask(ann, create, variables)).toMatchObject(refusal(code));
  });

  test('is not made by a token that may only read', async () => {
    const body = { query: create, variables: mine };
    const headers = { authorization: `token ${reader}` };
    const answer = await instance.api('POST', '/.api/graphql', body, headers);
    expect([answer.status, await answer.json()]).toMatchObject([403, { error: { code: 'scope_missing' } }]);
    expect((await sql`select from batch_specs`.execute(instance.db)).rows).toEqual([]);
  });
});
