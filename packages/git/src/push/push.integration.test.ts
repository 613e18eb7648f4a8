import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedRequest, localSpawn, openFetch, removalCommands, type Spawn } from '@fumehood/base';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Mirror, makeMirror } from '../mirror.ts';
import { fetchHistory, listRefs, type RemoteHttp } from '../remote.ts';
import { type GitServer, startGitServer } from '../testing/git-server.ts';
import { buildCommit, type CommitChange, commitCommands } from './commit.ts';
import { pushBranch } from './push.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_004, gid: process.getgid?.() ?? 0 } : null);

let root: string;
let source: GitServer;
let http: RemoteHttp;
let mirror: Mirror;
let base: string;
let diff: Buffer;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-push-'));
  chmodSync(root, 0o711);
  source = await startGitServer();
  const fetchFrom = openFetch(source.url);
  http = (request) => fetchFrom(request);
  symlinkSync('x', join(source.directory, 'link'));
  mkdirSync(join(source.directory, 'library'));
  source.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},library`);
  base = source.commit({
    plain: 'a\nb\nc\n',
    'dir/gone': 'gone\n',
    blob: Buffer.from([0, 1, 2, 3]),
    x: 'x\n',
  });
  const remote = await listRefs(http);
  mirror = await (await makeMirror(spawn, join(root, 'mirror.git'))).update(
    remote,
    await fetchHistory(http, [base], []),
  );
  diff = diffOf(() => {
    writeFileSync(join(source.directory, 'plain'), 'a\nB\nc\n');
    writeFileSync(join(source.directory, 'blob'), Buffer.from([0, 9, 9, 9, 9, 9]));
    writeFileSync(join(source.directory, 'run'), 'x\n', { mode: 0o755 });
    rmSync(join(source.directory, 'dir'), { recursive: true });
  });
});
afterAll(() => {
  source.stop();
  rmSync(root, { recursive: true, force: true });
});

/** Returns what this changes in the files of the source, which is undone then. */
function diffOf(change: () => void): Buffer {
  change();
  source.git('add', '-A');
  const bytes = execFileSync('git', [
    '-C',
    source.directory,
    'diff',
    '--cached',
    '--no-prefix',
    '--binary',
    'HEAD',
  ]);
  source.git('reset', '-q', '--hard');
  return bytes;
}
/** Runs what the helper of an instance would run, and nothing else. */
const asHelper: Spawn = (request) =>
  spawn(allowedRequest(request, [...commitCommands(root), ...removalCommands(root)]));
const build = (more: Partial<CommitChange> = {}) =>
  buildCommit(asHelper, mirror, {
    ...{
      base,
      diff,
      authorName: 'Ann <\n>',
      authorEmail: 'ann@x',
      at: 1_700_000_000,
      message: 'Fix\n\nWhy ü',
    },
    ...more,
  });
const refused = (code: string) => expect.objectContaining({ code }) as Error;
const refOf = (name: string) => source.git('for-each-ref', '--format=%(objectname)', `refs/heads/${name}`);

it('a diff becomes a commit, the same one each time, and a branch of the remote', async () => {
  const { commit, pack } = await build();
  expect((await build()).commit).toBe(commit);
  expect(readdirSync(root)).toEqual(['mirror.git']);
  for (let time = 0; time < 2; time += 1)
    await pushBranch(http, { ref: 'refs/heads/fix', from: [], commit, pack });
  expect(refOf('fix')).toBe(commit);
  expect(source.git('log', '-1', '--format=%P|%an|%ae|%at|%B', 'fix')).toBe(
    `${base}|Ann|ann@x|1700000000|Fix\n\nWhy ü`,
  );
  expect(source.git('diff', '--name-status', 'main', 'fix').split('\n')).toEqual([
    ...['M\tblob', 'D\tdir/gone', 'M\tplain', 'A\trun'],
  ]);
  expect(source.git('ls-tree', 'fix', 'run')).toMatch(/^100755/);
  expect(source.git('show', 'fix:plain')).toBe('a\nB\nc');
  source.git('fsck', '--strict');
});

it('a submodule can be removed, and cannot move', async () => {
  const gone = diffOf(() => rmSync(join(source.directory, 'library'), { recursive: true }));
  mkdirSync(join(source.directory, 'library'), { recursive: true });
  await pushBranch(http, { ref: 'refs/heads/gone', from: [], ...(await build({ diff: gone })) });
  expect(source.git('diff', '--name-status', 'main', 'gone')).toBe('D\tlibrary');
  const moved = 'diff --git library sub\nsimilarity index 100%\nrename from library\nrename to sub\n';
  await expect(build({ diff: Buffer.from(moved) })).rejects.toThrow('a submodule can be removed, but');
});

it('a branch moves only from where the instance has left it', async () => {
  const one = await build({ message: 'one' });
  const two = await build({ message: 'two' });
  const push = (commit: typeof one, from: readonly string[]) =>
    pushBranch(http, { ref: 'refs/heads/moving', from, ...commit });
  await push(one, []);
  await expect(push(two, [])).rejects.toThrow(refused('branch_moved'));
  await push(two, [one.commit]);
  expect(refOf('moving')).toBe(two.commit);
  await expect(push(one, [one.commit])).rejects.toThrow(
    `is at ${two.commit}, which the instance has not pushed`,
  );
  // Somebody else pushes after the instance has looked.
  let posts = 0;
  const racing: RemoteHttp = async (request) => {
    if (request.method === 'POST' && posts++ === 0) source.git('update-ref', 'refs/heads/moving', base);
    return await http(request);
  };
  const raced = pushBranch(racing, { ref: 'refs/heads/moving', from: [two.commit], ...one });
  await expect(raced).rejects.toThrow(refused('branch_moved'));
  expect(refOf('moving')).toBe(base);
});

it('a remote that does not take a push says why', async () => {
  const change = await build();
  writeFileSync(join(source.directory, '.git/hooks/pre-receive'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const pushed = pushBranch(http, { ref: 'refs/heads/refused', from: [], ...change });
  await expect(pushed).rejects.toThrow(refused('push_refused'));
  rmSync(join(source.directory, '.git/hooks/pre-receive'));
  expect(refOf('refused')).toBe('');
  const answers =
    (status: number): RemoteHttp =>
    async (request) => ({
      ...(await http(request)),
      ...{ status, body: null },
    });
  const to = (status: number) => pushBranch(answers(status), { ref: 'refs/heads/x', from: [], ...change });
  await expect(to(503)).rejects.toThrow(refused('remote_unavailable'));
  await expect(to(401)).rejects.toThrow(refused('remote_refused'));
});

it('a diff that is not for its commit, or does what it does not say, becomes no commit', async () => {
  const text = diff.toString();
  await expect(build({ diff: Buffer.from(text.replace('-b', '-q')) })).rejects.toThrow(
    refused('diff_conflict'),
  );
  await expect(build({ diff: Buffer.from('no diff\n') })).rejects.toThrow(refused('diff_invalid'));
  const moved = Buffer.from(
    'diff --git link deep/link\nsimilarity index 100%\nrename from link\nrename to deep/link\n',
  );
  await expect(build({ diff: moved })).rejects.toThrow('a symbolic link may not move to another directory');
  expect(readdirSync(root)).toEqual(['mirror.git']);
});
