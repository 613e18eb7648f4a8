import { collect } from '@fumehood/base';
import { readTar, type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { archiveTar } from './archive-tar.ts';

type Member = Pick<TarEntry, 'path'> & Partial<TarEntry>;

async function* tarOf(members: readonly Member[]): AsyncGenerator<Buffer> {
  for (const member of members) {
    const entry = { type: 'file' as const, size: 0, mode: 0o644, uid: 7, gid: 7, mtime: 5, ...member };
    yield tarHeader(entry);
    yield Buffer.alloc(entry.size, 'x');
    yield tarPadding(entry.size);
  }
  yield tarEnd();
}

async function written(members: readonly Member[]): Promise<TarEntry[]> {
  const tar = await collect(archiveTar(tarOf(members)).bytes, 1e7);
  const entries: TarEntry[] = [];
  for await (const { body: _body, bodyOffset: _offset, holes: _holes, ...entry } of readTar(of(tar)))
    entries.push(entry);
  return entries;
}

async function* of(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

test('of a member, its bytes, its time and whether it may be executed are kept, and its directories are made', async () => {
  const members: Member[] = [
    { path: 'a/b', size: 3, mode: 0o4755 },
    { path: 'link', type: 'symlink', linkTarget: '../../etc' },
  ];
  const entries = await written(members);
  expect(entries.map(({ path, type, mode, uid, size }) => [path, type, mode, uid, size])).toEqual([
    ['a', 'directory', 0o777, 0, 0],
    ['a/b', 'file', 0o777, 0, 3],
    ['link', 'symlink', 0o777, 0, 0],
  ]);
  expect(entries[1]?.mtime).toBe(5);
});

test.each<[string, Member[]]>([
  ['a path that leads out', [{ path: '../x' }]],
  ['a path that leads out in its middle', [{ path: 'a/../../x' }]],
  ['an absolute path', [{ path: '/etc/passwd' }]],
  ['the directory itself', [{ path: '.', type: 'directory' }]],
  ['a path of git', [{ path: 'a/.GIT/hooks/x' }]],
  ['a path twice', [{ path: 'a' }, { path: 'a' }]],
  ['a path out of order', [{ path: 'b' }, { path: 'a' }]],
  ['a path below a link', [{ path: 'l', type: 'symlink', linkTarget: '/etc' }, { path: 'l/passwd' }]],
  ['a path below a file', [{ path: 'f' }, { path: 'f/g' }]],
  ['a hard link', [{ path: 'a' }, { path: 'b', type: 'hardlink', linkTarget: 'a' }]],
  ['a device', [{ path: 'a', type: 'block', device: [8, 0] }]],
  ['a named pipe', [{ path: 'a', type: 'fifo' }]],
  ['a link to nothing', [{ path: 'a', type: 'symlink', linkTarget: '' }]],
  ['a name that is too long', [{ path: 'n'.repeat(256) }]],
])('an archive with %s is refused', async (_what, members) => {
  await expect(written(members)).rejects.toMatchObject({ code: 'job_refused' });
});

test('an archive with a file larger than a workspace is refused before its bytes', async () => {
  const huge = async function* () {
    yield tarHeader({ path: 'a', type: 'file', size: 2 ** 40, mode: 0, uid: 0, gid: 0, mtime: 0 });
  };
  await expect(collect(archiveTar(huge()).bytes, 1e6)).rejects.toMatchObject({ code: 'tar_too_big' });
});

test('whatever an archive has, only relative paths come out of it, each once and below directories alone', async () => {
  const part = fc.constantFrom('a', 'b', '..', '.', '', '.git');
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const type = fc.constantFrom('file', 'directory', 'symlink', 'hardlink', 'fifo');
  const member = fc.record({ path, type, linkTarget: path, mode: fc.nat(0o7777) }) as fc.Arbitrary<Member>;
  await fc.assert(
    fc.asyncProperty(fc.array(member, { maxLength: 5 }), async (members) => {
      const sorted = members.toSorted((x, y) => (x.path < y.path ? -1 : 1));
      const entries = await written(sorted).catch((error: { code: string }) => {
        expect(['job_refused', 'tar_invalid']).toContain(error.code);
        return [];
      });
      const made = new Map([['', 'directory']]);
      for (const entry of entries) {
        expect(entry.path).toMatch(/^[ab](\/[ab])*$/);
        expect(made.has(entry.path)).toBe(false);
        expect(made.get(entry.path.replace(/(^|\/)[ab]$/, ''))).toBe('directory');
        expect([0o666, 0o777]).toContain(entry.mode);
        made.set(entry.path, entry.type);
      }
    }),
  );
});
