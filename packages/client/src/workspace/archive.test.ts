import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect } from '@fumehood/base';
import { readTar } from '@fumehood/disk';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { archiveDirectory, type DirectoryArchive } from './archive.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-directory-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (path: string, text = path) => writeFileSync(join(root, path), text);
const make = (path: string) => mkdirSync(join(root, path), { recursive: true });

async function membersOf(archive: DirectoryArchive): Promise<Record<string, string>> {
  const members: Record<string, string> = {};
  for await (const { path, type, mode, linkTarget, body } of readTar(archive.open()))
    members[path] =
      type === 'file'
        ? `${mode.toString(8)} ${String(await collect(body, 1_000))}`
        : `${type} ${linkTarget ?? ''}`;
  return members;
}

test('the archive has files, links as links, and empty directories, without .git, sorted by bytes', async () => {
  for (const path of ['a/b', 'empty', '.git/objects', 'sub/.git']) make(path);
  for (const path of ['a/b/c', 'a-b', 'sub/.git/HEAD', 'x']) write(path);
  chmodSync(join(root, 'x'), 0o4711);
  symlinkSync('/etc', join(root, 'link'));
  const archive = await archiveDirectory(root);
  const members = await membersOf(archive);
  expect(Object.entries(members)).toEqual([
    ['a-b', '644 a-b'],
    ['a/b/c', '644 a/b/c'],
    ['empty', 'directory '],
    ['link', 'symlink /etc'],
    ['sub', 'directory '],
    ['x', '755 x'],
  ]);
  expect((await archiveDirectory(root)).digest).toBe(archive.digest);
});

test('only the listed paths are in the archive, and all below listed directories', async () => {
  for (const path of ['a/b', 'nested/inner', 'other']) make(path);
  for (const path of ['a/b/c', 'a/d', 'nested/inner/e', 'other/f']) write(path);
  const archive = await archiveDirectory(root, new Set(['a/b/c', 'nested', 'gone']));
  expect(Object.keys(await membersOf(archive))).toEqual(['a/b/c', 'nested/inner/e']);
});

test('sockets and named pipes are left out, and named', async () => {
  execFileSync('mkfifo', [join(root, 'pipe')]);
  write('a');
  const { skipped, entries } = await archiveDirectory(root);
  expect({ skipped, entries }).toEqual({ skipped: ['pipe'], entries: 1 });
});

test.each<[string, () => void]>([
  ['has more bytes', () => write('a', 'longer than before')],
  ['has the same size and another time', () => utimesSync(join(root, 'a'), 1, 1)],
  ['is gone', () => rmSync(join(root, 'a'))],
  [
    'is a link now',
    () => {
      rmSync(join(root, 'a'));
      symlinkSync('/etc/passwd', join(root, 'a'));
    },
  ],
])('a file that %s when it is sent is an error', async (_what, change) => {
  write('a');
  const archive = await archiveDirectory(root);
  change();
  await expect(collect(archive.open(), 1e6)).rejects.toMatchObject({ code: 'file_changed' });
});

test('what is not a directory, and a path that is too deep, are refused', async () => {
  write('a');
  for (const path of ['a', 'none'])
    await expect(archiveDirectory(join(root, path))).rejects.toMatchObject({ code: 'directory_invalid' });
  const deep = Array.from({ length: 200 }, () => 'd').join('/');
  make(deep);
  write(`${deep}/a`);
  await expect(archiveDirectory(root)).rejects.toThrow('too long or too deep');
});
