import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { allowedRequest, localSpawn } from '@fumehood/base';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { mirrorStoreCommands, openMirrors } from '../../packages/instance/src/repos/mirrors.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { mirrorSource, storeMirrored } from '../../packages/instance/src/testing/mirrored.ts';
import { makeSource, type Source } from '../../packages/instance/src/testing/source.ts';
import { withFakeDocker } from './fake-docker.ts';

/** The path of Sourcegraph's own `src` client: `SRC_CLIENT=… npm run test:interop`. */
const client = process.env.SRC_CLIENT ?? '';

const spec = `name: greet
description: Greets
on:
  - repositoriesMatchingQuery: file:README.md
steps:
  - run: echo "Hello \${{ repository.name }}" >> README.md
    container: alpine:3
changesetTemplate:
  title: Greet
  body: Greets everybody
  branch: greet
  commit: { message: Greet }
  published: false
`;

const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_008, gid: process.getgid?.() ?? 0 } : null);
let server: TestServer;
let source: Source;
let instance: TestInstance;
let directory: string;
let path: string;
beforeAll(async () => {
  expect(existsSync(client), 'SRC_CLIENT must name a file').toBe(true);
  server = openTestServer();
  source = makeSource();
  source.add('README.md', '# api\n');
  let files = '';
  instance = await startTestInstance(await server.clone(), {
    spawn: (request) => local(allowedRequest(request, mirrorStoreCommands(`${files}/repositories/mirrors`))),
  });
  ({ directory: files } = instance);
  const mirrors = await openMirrors(`${files}/repositories`, local);
  const mirrored = await mirrorSource(mirrors, source);
  for (const name of ['api', 'web']) await storeMirrored(instance.db, `git.test/acme/${name}`, mirrored);
  directory = await mkdtemp(join(tmpdir(), 'src-'));
  path = await withFakeDocker(directory);
  await writeFile(join(directory, 'spec.yaml'), spec);
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await instance.stop();
  source.remove();
  await server.stop();
});
/** Runs \`src batch …\`, with the fake of docker before the real one. */
async function batch(...args: string[]) {
  const env = {
    ...{ SRC_ENDPOINT: instance.url, SRC_ACCESS_TOKEN: instance.accessToken, HOME: directory },
    PATH: path,
  };
  const { stdout, stderr } = await promisify(execFile)(client, ['batch', ...args], { cwd: directory, env });
  return `${stdout}${stderr}`;
}
/** Returns the changesets of all batch changes. */
async function changesets(): Promise<unknown[]> {
  const read = async (path: string) => await (await instance.api('GET', `/api/batch-changes${path}`)).json();
  const { batchChanges } = (await read('')) as { batchChanges: { id: string }[] };
  const lists = await Promise.all(batchChanges.map(({ id }) => read(`/${id}/changesets`)));
  return lists.flatMap((list) => (list as { changesets: unknown[] }).changesets);
}
const events = (output: string) =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { operation: string; status: string; metadata: object });

test('the real client validates a batch spec', async () => {
  expect(await batch('validate', '-f', 'spec.yaml')).toContain('Batch spec successfully validated');
});

test('the real client lists the repositories of a batch spec', async () => {
  const output = await batch('repositories', '-f', 'spec.yaml');
  for (const name of ['api', 'web']) expect(output).toContain(`git.test/acme/${name}`);
});

test('the real client has the instance run a batch spec, with the files that its steps mount', async () => {
  await writeFile(join(directory, 'fix.sh'), 'echo fixed > fixed.txt\n');
  const mount = '    mount: [{ path: ./fix.sh, mountpoint: /tmp/fix.sh }]\nchangesetTemplate:';
  await writeFile(join(directory, 'remote.yaml'), spec.replace('changesetTemplate:', mount));
  const output = await batch('remote', '-f', 'remote.yaml');
  const id = /\/users\/admin\/batch-changes\/greet\/executions\/(\S+)/.exec(output)?.[1] ?? output;
  const [, key = ''] = Buffer.from(id, 'base64').toString().split(':');
  const read = async (path: string) =>
    await (await instance.api('GET', `/api/batch-specs/${key}${path}`)).json();
  expect(await read('')).toMatchObject({ executedAt: expect.any(String) as string });
  expect(await read('/workspaces')).toMatchObject({
    workspaces: [{ repository: 'git.test/acme/api' }, { repository: 'git.test/acme/web' }],
  });
});

test('the real client runs a batch spec and previews it', async () => {
  const found = events(await batch('preview', '-f', 'spec.yaml', '-text-only'));
  expect(found.at(-1)).toMatchObject({ operation: 'CREATING_BATCH_SPEC', status: 'SUCCESS' });
  expect(JSON.stringify(found.at(-1)?.metadata)).toContain('/users/admin/batch-changes/apply/');
  expect(await changesets()).toEqual([]);
});

test('the real client runs a batch spec and applies it, once and again', async () => {
  for (const _ of [1, 2]) {
    const found = events(await batch('apply', '-f', 'spec.yaml', '-text-only'));
    expect(found.at(-1)).toMatchObject({ operation: 'APPLYING_BATCH_SPEC', status: 'SUCCESS' });
    expect(JSON.stringify(found.at(-1)?.metadata)).toContain('/users/admin/batch-changes/greet');
    const stat = { files: 1, addedLines: 1, deletedLines: 0 };
    const common = { title: 'Greet', headRef: 'refs/heads/greet', stat };
    expect(await changesets()).toMatchObject([
      { ...common, repository: 'git.test/acme/api' },
      { ...common, repository: 'git.test/acme/web' },
    ]);
  }
});
