import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedRequest, localSpawn } from '@fumehood/base';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Person } from '../../auth/people.ts';
import { connect, type Db } from '../../db/connect.ts';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { mirrorStoreCommands, type Mirrors, openMirrors } from '../../repos/mirrors.ts';
import { mirrorSource, storeMirrored } from '../../testing/mirrored.ts';
import { makeSource, type Source } from '../../testing/source.ts';
import { createBatchSpec, readBatchSpec } from '../specs.ts';
import { listWorkspaces, readWorkspace } from '../workspaces.ts';
import { resolveNext } from './resolve.ts';

/** Batch specs find their workspaces in real mirrors, by the commands that the helper allows. */
const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_006, gid: process.getgid?.() ?? 0 } : null);
const ann: Person = {
  ...{ userId: 0, name: 'ann', admin: false, scopes: [] },
  token: { name: 't', expiresAt: null },
};
const bob: Person = { ...ann, name: 'bob' };
const going = new AbortController().signal;

let server: TestServer;
let source: Source;
let root: string;
let mirrors: Mirrors;
let db: Db;

beforeAll(async () => {
  server = openTestServer();
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-batches-')));
  chmodSync(root, 0o711);
  mirrors = await openMirrors(root, async (request) =>
    local(allowedRequest(request, mirrorStoreCommands(join(root, 'mirrors')))),
  );
  source = makeSource();
  source.add('README.md', 'Hello -World\n');
  source.add('web/a b/README.md', 'hello (there)\n');
  source.add('web/package.json', '{}\n');
  db = connect(await server.clone());
  const mirrored = await mirrorSource(mirrors, source);
  for (const name of ['acme/api', 'acme/sent']) await storeMirrored(db, name, mirrored);
  await sql`update repositories set url = null where name = 'acme/sent'`.execute(db);
});
afterAll(async () => {
  await db.destroy();
  source.remove();
  rmSync(root, { recursive: true, force: true });
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from batch_specs`.execute(db);
});

const create = (on: string, more: Partial<Parameters<typeof createBatchSpec>[2]> = {}) =>
  createBatchSpec({ db }, ann, {
    text: `version: 2
name: hello
on: [${on}]
steps: [{run: 'true', container: alpine:3}]
changesetTemplate: {title: t, branch: b, commit: {message: m}}
`,
    ...{ namespace: 'ann', origin: 'server', allowIgnored: false, allowUnsupported: false, noCache: false },
    ...{ options: {}, batchChangeId: null },
    ...more,
  });
const resolveAll = async () => {
  while (await resolveNext({ db, mirrors, log: { warn: () => {} } }, going));
};
const all = { state: null, after: 0, limit: 10 };

test('a batch spec finds its workspaces, and those where nothing can be pushed are skipped', async () => {
  const { publicId } = await create(`{repositoriesMatchingQuery: 'file:README'}`);
  expect(await readBatchSpec(db, ann, publicId)).toMatchObject({ state: 'pending', resolution: 'queued' });
  await resolveAll();
  const { workspaces, next } = await listWorkspaces(db, ann, publicId, { ...all, limit: 1 });
  expect([workspaces, next]).toMatchObject([
    [{ repository: 'acme/api', branch: 'refs/heads/main', path: '', state: 'pending', stepCount: 1 }],
    1,
  ]);
  const rest = await listWorkspaces(db, ann, publicId, { ...all, after: 1 });
  expect(rest).toMatchObject({
    workspaces: [{ repository: 'acme/sent', unsupported: true, state: 'skipped' }],
    next: null,
  });
  const { rows } = await sql`select file_matches from batch_workspaces where position = 1`.execute(db);
  expect(rows).toEqual([{ file_matches: ['README.md', 'web/a b/README.md'] }]);
  expect(await readBatchSpec(db, ann, publicId)).toMatchObject({
    ...{ state: 'pending', resolution: 'completed', workspaces: { pending: 1, skipped: 1, failed: 0 } },
  });
  expect(await readWorkspace(db, ann, workspaces[0]?.id ?? '')).toMatchObject({
    steps: [],
    diffDigest: null,
  });
});

test.each([
  ['hello', ['README.md', 'web/a b/README.md']],
  ['Hello case:yes', ['README.md']],
  ['"-World"', ['README.md']],
  ['hello -there', ['README.md']],
  ['/hello .there/', ['web/a b/README.md']],
  ['hello file:^web/', ['web/a b/README.md']],
  ['(there or (World hello))', ['README.md', 'web/a b/README.md']],
  ['hello -(there or file:json)', ['README.md']],
  ['lang:json repo:has.file(path:README content:the.e)', ['web/package.json']],
])('the query %s finds files by what they have', async (query, expected) => {
  await create(`{repositoriesMatchingQuery: '${query} repo:api'}`);
  await resolveAll();
  const { rows } = await sql`select file_matches from batch_workspaces`.execute(db);
  expect(rows).toEqual([{ file_matches: expected }]);
});

test('a batch spec that names what is not there has failed', async () => {
  const messages = async (on: string) => {
    const { publicId } = await create(on);
    await resolveAll();
    const { state, resolutionFailure } = await readBatchSpec(db, ann, publicId);
    return [state, resolutionFailure];
  };
  expect(await messages('{repository: acme/none}')).toEqual(['failed', 'there is no repository acme/none']);
  expect((await messages('{repository: acme/api, branch: none}'))[1]).toMatch(
    'the repository has no commit none',
  );
  expect((await messages(`{repositoriesMatchingQuery: '/(/'}`))[1]).toMatch('git grep');
});

test('a batch spec is seen in its namespace alone, and another namespace is not to be used', async () => {
  const { publicId } = await create(`{repository: acme/api}`);
  await resolveAll();
  const [workspace] = (await listWorkspaces(db, ann, publicId, all)).workspaces;
  const gone = { code: 'batch_spec_not_found' };
  await expect(readBatchSpec(db, bob, publicId)).rejects.toMatchObject(gone);
  await expect(listWorkspaces(db, bob, publicId, all)).rejects.toMatchObject(gone);
  await expect(readWorkspace(db, bob, workspace?.id ?? '')).rejects.toMatchObject({
    code: 'batch_workspace_not_found',
  });
  expect((await readBatchSpec(db, { ...bob, admin: true }, publicId)).name).toBe('hello');
  await expect(create('{repository: acme/api}', { namespace: 'bob' })).rejects.toMatchObject({
    code: 'namespace_not_found',
  });
  await expect(create('{repository: 3}')).rejects.toMatchObject({ code: 'batch_spec_invalid' });
});

test('another replica goes on with a claim that has run out', async () => {
  const { publicId } = await create(`{repository: acme/api}`);
  await sql`update batch_specs set resolution = 'processing', claim = gen_random_uuid(), claimed_until = clock_timestamp() + interval '1 minute'`.execute(
    db,
  );
  await resolveAll();
  expect((await readBatchSpec(db, ann, publicId)).resolution).toBe('processing');
  await sql`update batch_specs set claimed_until = clock_timestamp()`.execute(db);
  await resolveAll();
  expect((await readBatchSpec(db, ann, publicId)).resolution).toBe('completed');
});
