import { randomBytes } from 'node:crypto';
import { chmodSync, symlinkSync } from 'node:fs';
import { allowedRequest, localSpawn, type SpawnedProcess } from '@fumehood/base';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { mirrorStoreCommands, openMirrors } from '../../repos/mirrors.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';
import { mirrorSource, storeMirrored } from '../../testing/mirrored.ts';
import { makeSource, type Source } from '../../testing/source.ts';

const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_006, gid: process.getgid?.() ?? 0 } : null);
const big = randomBytes(3_000_000);

let server: TestServer;
let instance: TestInstance;
let source: Source;
/** Git that reads objects. */
const readers: SpawnedProcess[] = [];
beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  source.add('web/src/größe.txt', 'of the web\n');
  source.add('web/empty', '');
  source.add('web/a\\b', 'a name that no archive can hold\n');
  source.add('website/x', 'beside the web\n');
  symlinkSync('src', `${source.directory}/web/link`);
  source.add('web/run.sh', 'exit\n');
  chmodSync(`${source.directory}/web/run.sh`, 0o755);
  source.add('big', big);
  let directory = '';
  instance = await startTestInstance(await server.clone(), {
    spawn: async (request) => {
      const allowed = allowedRequest(request, mirrorStoreCommands(`${directory}/repositories/mirrors`));
      const child = await local(allowed);
      if (request.label === 'git cat-file') readers.push(child);
      return child;
    },
  });
  ({ directory } = instance);
  const mirrors = await openMirrors(`${directory}/repositories`, local);
  await storeMirrored(instance.db, 'git.test/acme/one', await mirrorSource(mirrors, source));
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
  source.remove();
});

const zip = { accept: 'application/zip' };
const ask = (path: string, headers: Record<string, string> = {}) =>
  instance.api('GET', path, undefined, { authorization: `token ${instance.accessToken}`, ...headers });
async function unzipped(path: string): Promise<Record<string, Uint8Array>> {
  const answer = await ask(path, zip);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/zip']);
  return unzipSync(new Uint8Array(await answer.arrayBuffer()));
}
const one = '/git.test/acme/one@main/-/raw';

describe('an archive', () => {
  test('holds the files of a commit, with what they are', async () => {
    const files = await unzipped(one);
    expect(Object.keys(files).sort()).toEqual(
      ['big', 'src/old.ts', 'web/empty', 'web/link', 'web/run.sh', 'web/src/größe.txt', 'website/x'].sort(),
    );
    expect(Buffer.from(files.big ?? []).equals(big)).toBe(true);
    expect(Buffer.from(files['web/link'] ?? []).toString()).toBe('src');
    expect(files['web/empty']).toHaveLength(0);
  });

  test('of a directory holds what is below it, with whole paths', async () => {
    expect(Object.keys(await unzipped(`${one}/web/src/`))).toEqual(['web/src/größe.txt']);
    expect(Object.keys(await unzipped(`${one}/big`))).toEqual(['big']);
  });

  test.each([
    ['an older commit', () => `/git.test/acme/one@${source.first}/-/raw`, 'of the first commit\n'],
    ['the default branch', () => '/git.test/acme/one/-/raw', 'of the second commit\n'],
  ])('of %s', async (_, path, text) => {
    expect(Buffer.from((await unzipped(path()))['src/old.ts'] ?? []).toString()).toBe(text);
  });

  test('is not made any further when its reader is gone', async () => {
    const leaving = new AbortController();
    readers.length = 0;
    const headers = { ...zip, authorization: `token ${instance.accessToken}` };
    const answer = await fetch(`${instance.url}${one}`, { headers, signal: leaving.signal });
    const reader = answer.body?.getReader();
    await reader?.read();
    leaving.abort();
    for (const { exited } of readers) await exited;
    expect(readers.length).toBeGreaterThan(0);
  });
});

describe('one file', () => {
  test('comes as it is, to be saved', async () => {
    const answer = await ask(`${one}/web/src/gr%C3%B6%C3%9Fe.txt`);
    expect(await answer.text()).toBe('of the web\n');
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment',
      'x-content-type-options': 'nosniff',
    });
  });

  test.each([
    ['a file that is none', `${one}/web/.gitignore`, 404, 'path_not_found'],
    ['a directory', `${one}/web`, 404, 'path_not_found'],
    ['the whole commit', one, 404, 'path_not_found'],
    ['another branch', '/git.test/acme/one@none/-/raw/big', 404, 'revision_not_found'],
    ['another repository', '/git.test/acme/two@main/-/raw/big', 404, 'repository_not_found'],
    ['a path that leads out', `${one}/a%2f..%2f..%2fx`, 400, 'invalid_request'],
    ['an option of git', '/git.test/acme/one@--output=x/-/raw/big', 400, 'invalid_request'],
    ['no repository', '/git.test//one@main/-/raw/big', 400, 'invalid_request'],
  ])('%s is refused', async (_, path, status, code) => {
    const answer = await ask(path);
    expect([answer.status, await answer.json()]).toMatchObject([status, { error: { code } }]);
  });

  test('needs an access token', async () => {
    expect((await fetch(`${instance.url}${one}/big`)).status).toBe(401);
  });
});
