import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { allowedRequest, type Spawn, type SpawnRequest } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backendCommand, runBackend } from './backend.ts';
import { grepWord, mirrorStoreCommands } from './mirrors.ts';
import { openCommits, storeCommands } from './store.ts';

let root: string;
let asked: SpawnRequest[];
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-commands-')));
  asked = [];
});
afterEach(() => rmSync(root, { recursive: true }));

const commands = () => [...storeCommands(root), backendCommand(root)];
/** Runs nothing: checks each request as the helper does, and says that the program succeeded. */
const spawn: Spawn = async (request) => {
  asked.push(allowedRequest(request, commands()));
  const output = () => Readable.from([]);
  const exited = Promise.resolve({ code: 0, signal: null, timedOut: false });
  const stdin = new PassThrough().resume();
  return { uid: 0, stdin, stdout: output(), stderr: output(), exited, kill() {} };
};

it('the helper runs every git that the instance asks for, and no other', async () => {
  const commits = await openCommits(root, spawn, '0'.repeat(16));
  await commits.add('acme/plain', 'c'.repeat(40), Readable.from([]));
  mkdirSync(join(root, 'one.git'));
  const headers = { 'git-protocol': 'version=2', 'content-type': 'application/x-git-upload-pack-request' };
  const common = { directory: join(root, 'one.git'), gone: new AbortController().signal };
  for (const service of ['info/refs', 'git-upload-pack'] as const) {
    const body = service === 'info/refs' ? null : Buffer.from('0000');
    await runBackend(spawn, { ...common, service, headers, body }).catch(() => {});
  }
  const labels = ['git index-pack', 'git fsck', 'git ls-tree', 'git http-backend', 'git http-backend'];
  expect(asked.map(({ label }) => label)).toEqual(labels);
  const backend = asked[4] as SpawnRequest;
  for (const more of [
    { args: ['receive-pack', '/srv/repository'] },
    { env: { ...backend.env, GIT_CONFIG_VALUE_0: '/other' } },
    { env: { ...backend.env, PATH_INFO: '/repository/git-receive-pack' } },
    { env: { ...backend.env, GIT_PROJECT_ROOT: '/' } },
  ])
    expect(() => allowedRequest({ ...backend, ...more }, commands())).toThrow(/may not/);
});

it('the helper searches mirrors for a word alone, at a whole commit', () => {
  const commit = 'c'.repeat(40);
  const search = (...more: string[]) =>
    allowedRequest(
      {
        label: 'git grep',
        program: '/usr/bin/git',
        args: ['--git-dir', '/repository', ...grepWord, ...more],
        env: gitEnvironment,
        binds: [{ source: root, target: '/repository', mode: 'ro' }],
      },
      mirrorStoreCommands(root),
    );
  expect(() => search('$größe_1', commit, '--')).not.toThrow();
  for (const args of [
    ['-Oid', commit, '--'],
    ['a.b', commit, '--'],
    ['a\nb', commit, '--'],
    ['', commit, '--'],
    ['a', '--open-files-in-pager', '--'],
    ['a', 'main', '--'],
    ['a', commit, '--', 'path'],
    ['a', '-Oid', commit, '--'],
  ])
    expect(() => search(...args), args.join(' ')).toThrow(/may not run/);
});
