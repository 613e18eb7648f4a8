import { spawn as start } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { localSpawn } from '@fumehood/base';
import { openClient } from '@fumehood/client';
import { type CodeLocations, codeLocationsSchema, repositoryRecordSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openHistory } from '../../packages/fumehood/src/repos/local-history.ts';
import { sendHistory } from '../../packages/fumehood/src/repos/send-history.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { openCommits } from '../../packages/instance/src/repos/store.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { makeSource, type Source } from '../../packages/instance/src/testing/source.ts';

/** A repository of a person's machine, whose history the command line sends to an instance. */
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_003, gid: process.getgid?.() ?? 0 } : null);

let server: TestServer;
let instance: TestInstance;
let source: Source;
let home: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone(), { spawn, openCommits });
  source = makeSource();
  home = mkdtempSync(join(tmpdir(), 'fumehood-home-'));
});
afterAll(async () => {
  await instance.stop();
  source.remove();
  rmSync(home, { recursive: true });
  await server.stop();
});

async function fumehood(
  args: string[],
  cwd = home,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { url: FUMEHOOD_URL, accessToken: FUMEHOOD_TOKEN } = instance;
  const child = start(process.execPath, [command, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: home, FUMEHOOD_URL, FUMEHOOD_TOKEN },
  });
  child.stdin.end();
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { code: code as number, stdout, stderr };
}
const show = async () =>
  repositoryRecordSchema.parse(await (await instance.api('GET', '/api/repositories/acme/local')).json());
const mirrors = () => readdir(join(instance.directory, 'repositories/mirrors'));
/** Sends what is new in a repository, as `repos sync` does. */
const send = async ({ directory }: Source) => {
  const client = openClient({ url: instance.url, token: instance.accessToken });
  return await sendHistory(client, 'acme/local', await openHistory(directory), 'new');
};
/** Where a word of a file is found. */
async function guess(path: string): Promise<CodeLocations> {
  const place = { repository: 'acme/local', path, line: '0', character: '0' };
  const answer = await instance.api('GET', `/api/code/definition?${new URLSearchParams(place).toString()}`);
  return codeLocationsSchema.parse(await answer.json());
}

test('a directory is added with its history, and indexed; its path stays on its machine', async () => {
  const first = source.add('go.mod', 'module greeter\n');
  const added = await fumehood(['repos', 'add', source.directory, '--name', 'acme/local']);
  expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining('acme/local is at') });
  const record = await show();
  expect(record).toMatchObject({ url: null, branch: 'refs/heads/main', commit: first, failure: null });
  expect(JSON.stringify(record)).not.toContain(source.directory);
  const asked = { repository: 'acme/local', dryRun: true };
  const planned = await (await instance.api('POST', '/api/indexings', asked)).json();
  expect(planned).toMatchObject({
    commit: first,
    source: 'inferred',
    jobs: [{ indexer: 'sourcegraph/scip-go' }],
  });
  // It has the history, also of before.
  expect(await guess('src/old.ts')).toMatchObject({ precision: 'guess', commit: first });
  const older = { repository: 'acme/local', revision: source.first, dryRun: true };
  expect((await instance.api('POST', '/api/indexings', older)).status).toBe(200);
  // A branch that is not checked out stays on its machine.
  const other = { ...older, revision: source.secret };
  expect((await instance.api('POST', '/api/indexings', other)).status).toBe(404);
});

test('what is new in the directory is sent on demand, as much as the instance lacks, and policies have it indexed', async () => {
  expect((await instance.api('PUT', '/api/index-policies/all', {})).status).toBe(200);
  const [place] = await mirrors();
  const second = source.add('greet.go', 'greet\n');
  expect(await fumehood(['repos', 'sync', 'acme/local'], source.directory)).toMatchObject({ code: 0 });
  expect(await show()).toMatchObject({ commit: second });
  expect(await mirrors()).toEqual([place]);
  expect(await guess('greet.go')).toMatchObject({ locations: [{ path: 'greet.go', line: 0 }] });
  const status = await (await instance.api('GET', '/api/indexings?repository=acme/local')).json();
  expect(status).toMatchObject({ commits: [{ commit: second, policy: 'all' }] });
  const job = { queue: 'codeintel', repository: 'acme/local', commit: second };
  const indexer = { name: 'x', image: 'x.test/i', commands: ['i'] };
  expect((await instance.api('POST', '/api/jobs', { ...job, indexer })).status).toBe(201);
  // Nobody but a client can do that.
  const synced = await instance.api('POST', '/api/syncs', { repository: 'acme/local' });
  expect([synced.status, await synced.text()]).toEqual([
    409,
    expect.stringContaining('repos sync acme/local PATH'),
  ]);
});

test('a mirror that is lost is made anew from the whole history, which the next sync sends', async () => {
  const [place = ''] = await mirrors();
  rmSync(join(instance.directory, 'repositories/mirrors', place), { recursive: true });
  await send(source);
  expect(await guess('greet.go')).toMatchObject({ precision: 'guess' });
  expect(await mirrors()).not.toContain(place);
});

test('the directory of another repository, and a history that is not whole, are refused', async () => {
  const before = await show();
  const other = makeSource();
  await expect(send(other)).rejects.toMatchObject({ code: 'history_foreign' });
  writeFileSync(join(other.directory, '.git/shallow'), `${other.commit}\n`);
  await expect(openHistory(other.directory)).rejects.toMatchObject({
    remedy: expect.stringContaining('git fetch --unshallow') as string,
  });
  const put = async (commit: string, pack: Buffer, base?: string) => {
    const query = new URLSearchParams({ branch: 'refs/heads/main', commit, ...(base && { base }) });
    const answer = await instance.api('PUT', `/api/histories/acme/local?${query.toString()}`, pack);
    return [answer.status, ((await answer.json()) as { error: { code: string } }).error.code];
  };
  expect(await put(other.commit, other.alone(other.commit))).toEqual([400, 'repository_invalid']);
  expect(await put(other.commit, other.pack(`${other.commit}\n`, '--revs'), other.first)).toEqual([
    ...[409, 'history_needed'],
  ]);
  other.remove();
  const { triedAt: _, failure: __, ...rest } = before;
  expect(await show()).toMatchObject(rest);
  expect(await mirrors()).toHaveLength(1);
  await instance.api('PUT', '/api/repositories/acme/local', { url: 'http://127.0.0.1:9/' });
  expect(await put(source.commit, Buffer.alloc(0))).toEqual([409, 'repository_mirrored']);
});
