import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { allowedRequest, localSpawn } from '@fumehood/base';
import { unzipSync } from 'fflate';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { mirrorStoreCommands, openMirrors } from '../repos/mirrors.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { mirrorSource, storeMirrored } from '../testing/mirrored.ts';
import { makeSource, type Source } from '../testing/source.ts';
import { idOf } from './ids.ts';

/**
 * Every request that upstream's client was recorded to send for batch changes, also those that a fake server answered with failures, in the order
 * in which they came. The documents ask for the same fields as the client's; ids and commits are those of the instance.
 */
interface Recorded {
  readonly operation?: keyof typeof documents;
  readonly variables?: object;
  readonly path?: string;
  /** Whether an archive is asked for. */
  readonly zip?: boolean;
  readonly file?: {
    readonly filepath: string;
    readonly filemod: string;
    readonly name: string;
    readonly content: string;
  };
}
const { requests, trials } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'testing/replay.json'), 'utf8'),
) as {
  readonly requests: readonly Recorded[];
  readonly trials: readonly { readonly name: string; readonly requests: readonly number[] }[];
};

const documents = {
  InstanceInfo:
    'query { site { productVersion } maxUnlicensedChangesets batchChanges(first: 1) { nodes { id } } }',
  GetCurrentUserID: 'query { currentUser { id url } }',
  NamespaceQuery:
    'query ($name: String!) { user(username: $name) { id url } organization(name: $name) { id url } }',
  UpsertEmptyBatchChange:
    'mutation ($name: String!, $namespace: ID!) { upsertEmptyBatchChange(name: $name, namespace: $namespace) { id name } }',
  CreateBatchSpecFromRaw: `mutation (
    $batchSpec: String!, $namespace: ID!, $allowIgnored: Boolean!, $allowUnsupported: Boolean!, $noCache: Boolean!, $batchChange: ID!,
  ) { createBatchSpecFromRaw(
    batchSpec: $batchSpec, namespace: $namespace, allowIgnored: $allowIgnored, allowUnsupported: $allowUnsupported, noCache: $noCache,
    batchChange: $batchChange,
  ) { id } }`,
  BatchSpecWorkspaceResolution: `query ($batchSpec: ID!) { node(id: $batchSpec) { ... on BatchSpec {
    workspaceResolution { failureMessage state workspaces { totalCount } } } } }`,
  ExecuteBatchSpec:
    'mutation ($batchSpec: ID!, $noCache: Boolean!) { executeBatchSpec(batchSpec: $batchSpec, noCache: $noCache) { id } }',
  ResolveWorkspacesForBatchSpec: `query ($spec: String!) { resolveWorkspacesForBatchSpec(batchSpec: $spec) {
    onlyFetchWorkspace ignored unsupported path searchResultPaths branch { name target { oid } }
    repository { id name url externalRepository { serviceType } defaultBranch { name target { oid } } } } }`,
  Repository: `query ($name: String!, $queryCommit: Boolean!, $rev: String!) { repository(name: $name) { ...fields } }
    fragment fields on Repository { id name url externalRepository { serviceType } defaultBranch { name target { oid } }
      commit(rev: $rev) @include(if: $queryCommit) { oid } }`,
  CreateChangesetSpec: `mutation ($spec: String!) { createChangesetSpec(changesetSpec: $spec) {
    ... on HiddenChangesetSpec { id } ... on VisibleChangesetSpec { id } } }`,
  CreateBatchSpec: `mutation ($namespace: ID!, $spec: String!, $changesetSpecs: [ID!]!) {
    createBatchSpec(namespace: $namespace, batchSpec: $spec, changesetSpecs: $changesetSpecs) { id applyURL } }`,
  ApplyBatchChange:
    'mutation ($batchSpec: ID!) { applyBatchChange(batchSpec: $batchSpec) { ...fields } } fragment fields on BatchChange { url }',
} as const;
/** The trials that the instance refuses: there is no version 3 of batch specs, and it pushes to no forks. */
const refused = {
  'remote-v3': 'batch_spec_invalid',
  'preview-groups': 'changeset_fork_unsupported',
} as Readonly<Record<string, string>>;

const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_007, gid: process.getgid?.() ?? 0 } : null);

let server: TestServer;
let instance: TestInstance;
let source: Source;
let commit: string;
beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  source.add('services/a/package.json', '{}\n');
  commit = source.add('README.md', '# api\n');
  let directory = '';
  instance = await startTestInstance(await server.clone(), {
    spawn: (request) =>
      local(allowedRequest(request, mirrorStoreCommands(`${directory}/repositories/mirrors`))),
  });
  ({ directory } = instance);
  const mirrors = await openMirrors(`${directory}/repositories`, local);
  const mirrored = await mirrorSource(mirrors, source);
  for (const name of ['api', 'web', 'legacy'])
    await storeMirrored(instance.db, `github.com/acme/${name}`, mirrored);
  await instance.api('POST', '/api/organisations', { name: 'acme' });
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
  source.remove();
});
beforeEach(async () => {
  // In the order in which the reconciler locks rows.
  for (const table of ['changesets', 'batch_changes', 'batch_specs', 'changeset_specs'])
    await sql`delete from ${sql.ref(table)}`.execute(instance.db);
});

/** Sends the requests of a client one after the other, and returns the answer to the last one. */
function client() {
  const known: Record<string, string> = {
    ...{ commit, user: idOf('User', 'admin'), org: idOf('Org', 'acme') },
    'repository github.com/acme/api': idOf('Repository', 'github.com/acme/api'),
    'repository github.com/acme/legacy': idOf('Repository', 'github.com/acme/legacy'),
  };
  let changesetSpecs = 0;
  const filled = (text: string) =>
    text.replaceAll(/<([\w /.]+)>/g, (whole, name: string) => known[name] ?? whole);
  const learn = (data: Readonly<Record<string, { readonly id?: string } | null>>) => {
    for (const [field, value] of Object.entries(data)) {
      if (!value?.id) continue;
      if (/BatchSpec/.test(field)) known.batchSpec = value.id;
      if (/BatchChange/.test(field)) known.batchChange = value.id;
      if (/ChangesetSpec/.test(field)) known[`changesetSpec ${(changesetSpecs += 1)}`] = value.id;
    }
  };
  return {
    async ask(operation: keyof typeof documents, variables: object | null = null) {
      const body = JSON.stringify({ query: documents[operation], variables });
      const answer = await instance.api('POST', '/.api/graphql', gzipSync(filled(body)), {
        ...{ 'content-type': 'application/json', 'content-encoding': 'gzip' },
        authorization: `token ${instance.accessToken}`,
      });
      expect(answer.status).toBe(200);
      const { data, errors } = (await answer.json()) as {
        data: Parameters<typeof learn>[0];
        errors?: { extensions: { code: string } }[];
      };
      learn(data ?? {});
      return { data, code: errors?.[0]?.extensions.code };
    },
    async get(path: string, isZip: boolean) {
      const headers = {
        authorization: `token ${instance.accessToken}`,
        ...(isZip && { accept: 'application/zip' }),
      };
      const answer = await fetch(`${instance.url}${filled(path)}`, { headers });
      if (!isZip) return expect(answer.status).toBe(404);
      const files = Object.keys(unzipSync(new Uint8Array(await answer.arrayBuffer())));
      return expect(files).toContain(path.endsWith('/a') ? 'services/a/package.json' : 'README.md');
    },
    async send({ filepath, filemod, name, content }: NonNullable<Recorded['file']>) {
      const form = new FormData();
      form.set('filepath', filepath);
      form.set('filemod', filemod);
      form.set('file', new File([content], name));
      const answer = await fetch(`${instance.url}${filled('/.api/files/batch-changes/<batchSpec>')}`, {
        ...{ method: 'POST', body: form, headers: { authorization: `token ${instance.accessToken}` } },
      });
      expect(answer.status).toBe(200);
    },
  };
}

test.each(trials)('$name', async ({ name, requests: numbers }) => {
  const upstream = client();
  for (const { operation, variables, path, zip, file } of numbers.map((number) => requests[number] ?? {})) {
    if (path !== undefined) await upstream.get(path, zip === true);
    if (file) await upstream.send(file);
    if (!operation) continue;
    const { data, code } = await upstream.ask(operation, variables);
    if (code !== undefined) {
      expect([name, operation, code]).toEqual([name, operation, refused[name]]);
      return;
    }
    expect(data).toMatchObject(expected(operation, variables));
  }
  expect(refused[name]).toBeUndefined();
});

/** What the client needs in the answer to an operation. */
function expected(operation: keyof typeof documents, variables: object = {}): object {
  const text = expect.stringMatching(/./) as string;
  const asked = JSON.stringify(variables);
  const workspace = (name: string) => ({
    ...{ onlyFetchWorkspace: false, ignored: false, unsupported: false, path: '' },
    branch: { name: 'refs/heads/main', target: { oid: commit } },
    repository: { id: text, name: `github.com/acme/${name}`, url: `/github.com/acme/${name}` },
  });
  if (operation === 'NamespaceQuery')
    return {
      user: null,
      organization: asked.includes('acme') ? { id: text, url: '/organizations/acme' } : null,
    };
  if (operation === 'BatchSpecWorkspaceResolution')
    return { node: { workspaceResolution: { state: text, failureMessage: null } } };
  if (operation === 'ApplyBatchChange')
    return { applyBatchChange: { url: '/users/admin/batch-changes/hello' } };
  if (operation !== 'ResolveWorkspacesForBatchSpec') return {};
  const names = asked.includes('import')
    ? []
    : asked.includes('Matching')
      ? ['api', 'legacy', 'web']
      : ['api'];
  return { resolveWorkspacesForBatchSpec: names.map(workspace) };
}
