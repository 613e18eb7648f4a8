import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { readTar } from '@fumehood/disk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import { flattenImage } from './flatten.ts';
import {
  directory,
  dockerFiles,
  file,
  hardlink,
  type LayerMember,
  layerOf,
  layerWithRecords,
  layoutFiles,
  symlink,
  type Tree,
  treeOf,
  writeArchive,
} from './testing/image.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-flatten-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function flat(...layers: LayerMember[][]): Promise<Tree> {
  const files = dockerFiles(layers.map((members) => layerOf(...members)));
  return treeOf(await openArchive(writeArchive(join(root, 'image.tar'), files)));
}
const paths = async (...layers: LayerMember[][]) => Object.keys(await flat(...layers));
const invalid = { code: 'image_invalid' };

describe('an upper layer', () => {
  it('replaces files and keeps everything else', async () => {
    const tree = await flat([file('a', 'old'), file('b')], [file('a', 'new', 0o755)]);
    expect(tree).toMatchObject({ a: { content: 'new', mode: 0o755 }, b: { content: 'b' } });
  });

  it('hides paths by whiteouts, wherever they are in the layer', async () => {
    const lower = [directory('d'), file('d/x'), file('d/y'), file('e')];
    expect(await paths(lower, [file('d/.wh.x', ''), file('.wh.e', '')])).toEqual(['d', 'd/y']);
    expect(await paths(lower, [file('.wh.d', '')])).toEqual(['e']);
    expect(await paths(lower, [file('d/z'), file('d/.wh..wh..opq', '')])).toEqual(['d', 'd/z', 'e']);
    expect(await paths(lower, [file('.wh..wh..opq', ''), file('f')])).toEqual(['f']);
  });

  it('does not hide its own paths, nor those of later layers', async () => {
    expect(await paths([file('a')], [file('a', 'new'), file('.wh.a', '')])).toEqual(['a']);
    expect(await paths([file('a')], [file('.wh.a', '')], [file('a')])).toEqual(['a']);
    expect(await paths([file('d/x')], [file('.wh.d', '')], [directory('d')])).toEqual(['d']);
  });

  it('replaces a directory and everything below it with a file, and a file with a directory', async () => {
    expect(await flat([file('d/x')], [file('d', 'now a file')])).toMatchObject({
      d: { content: 'now a file' },
    });
    expect(await paths([file('d/x')], [file('d')], [directory('d')])).toEqual(['d']);
    expect(await paths([file('d')], [directory('d'), file('d/x')])).toEqual(['d', 'd/x']);
    expect(await paths([symlink('d', '/etc')], [directory('d'), file('d/x')])).toEqual(['d', 'd/x']);
  });

  it('changes the mode of a directory and keeps its content', async () => {
    const tree = await flat([directory('d', 0o755), file('d/x')], [directory('d', 0o700)]);
    expect(tree).toMatchObject({ d: { mode: 0o700 }, 'd/x': { content: 'd/x' } });
  });
});

describe('a layer', () => {
  it('that has a path twice shows the last one', async () => {
    expect(await flat([file('a', 'first'), file('a', 'second')])).toMatchObject({ a: { content: 'second' } });
  });

  it('may leave out the parents of its paths', async () => {
    const tree = await flat([file('a/b/c')]);
    expect(tree).toMatchObject({ a: { type: 'directory', mode: 0o755 }, 'a/b': { type: 'directory' } });
  });

  it('may have named pipes and device nodes, with hard links to them', async () => {
    const node = (path: string, type: LayerMember['type']) => ({ path, type }) as LayerMember;
    const upper = [node('a', 'character'), node('b', 'block'), node('c', 'fifo'), hardlink('d', 'c')];
    expect(await flat([file('a'), file('d'), file('e')], upper)).toMatchObject({
      ...{ a: { type: 'character' }, b: { type: 'block' }, c: { type: 'fifo', file: 'c' } },
      ...{ d: { type: 'fifo', file: 'c' }, e: { type: 'file' } },
    });
  });

  it('gives its root directory the mode and the owner that its last entry for the root has', async () => {
    const top = (path: string, mode: number): LayerMember => ({ path, type: 'directory', mode, uid: mode });
    const rootOf = async (...layers: LayerMember[][]) => {
      const files = dockerFiles(layers.map((members) => layerOf(...members)));
      const archive = await openArchive(writeArchive(join(root, 'image.tar'), files));
      expect(Object.keys(await treeOf(archive))).toEqual(['a']);
      return (await flattenImage(archive)).root;
    };
    expect(await rootOf([file('a')])).toMatchObject({ mode: 0o755, uid: 0 });
    for (const path of ['.', './', '/', 'a/..'])
      expect(await rootOf([top('/', 0o700), file('a')], [top(path, 0o1777)])).toMatchObject({
        ...{ mode: 0o1777, uid: 0o1777 },
      });
  });

  it('may be empty in any form', async () => {
    const none = Buffer.alloc(0);
    const empty = [none, Buffer.alloc(512), Buffer.alloc(10_240), gzipSync(none), zstdCompressSync(none)];
    const layers = [...empty, layerOf(file('a')), ...empty];
    const path = join(root, 'image.tar');
    const archive = await openArchive(writeArchive(path, layoutFiles(layers)));
    expect(Object.keys(await treeOf(archive))).toEqual(['a']);
    const docker = dockerFiles([none, Buffer.alloc(1_024)], { packed: gzipSync });
    expect(await treeOf(await openArchive(writeArchive(path, docker)))).toEqual({});
  });

  it('keeps a directory that a later layer has emptied', async () => {
    expect(await paths([file('d/x')], [file('d/.wh.x', '')])).toEqual(['d']);
  });
});

describe('hard links', () => {
  it('are several names of one file', async () => {
    const tree = await flat([file('a', 'one'), hardlink('b', 'a'), hardlink('c', './b')]);
    expect(tree).toMatchObject({ b: { content: 'one', file: 'a' }, c: { content: 'one', file: 'a' } });
  });

  it('keep their file when an upper layer hides or replaces the path of the member', async () => {
    const lower = [file('a', 'one'), hardlink('b', 'a'), hardlink('c', 'a')];
    expect(await flat(lower, [file('.wh.a', '')])).toMatchObject({
      b: { content: 'one', file: 'b' },
      c: { content: 'one', file: 'b' },
    });
    expect(await flat(lower, [file('a', 'two')])).toMatchObject({
      a: { content: 'two', file: 'a' },
      b: { content: 'one', file: 'b' },
    });
  });

  it('point to the target as it was when the link was added', async () => {
    const tree = await flat([file('a', 'one'), hardlink('b', 'a'), file('a', 'two')]);
    expect(tree).toMatchObject({ a: { content: 'two' }, b: { content: 'one' } });
  });

  it('to a file of a lower layer keep it when an upper layer removes or replaces its path', async () => {
    const layers = [[file('a')], [hardlink('b', 'a')], [hardlink('c', 'b')]];
    expect(await flat(...layers)).toMatchObject({ b: { content: 'a', file: 'a' } });
    for (const last of [file('a', 'new'), file('.wh.a', ''), directory('a'), symlink('a', 'b')])
      expect(await flat(...layers, [last])).toMatchObject({
        ...{ b: { content: 'a', file: 'b' }, c: { content: 'a', file: 'b' } },
      });
  });

  it('may point to symbolic links, whose targets they do not follow', async () => {
    expect(await flat([symlink('a', 'x'), hardlink('b', 'a'), file('x')])).toMatchObject({
      b: { type: 'symlink', content: 'x', file: 'a' },
    });
  });

  it.each([
    ['nothing', 'x'],
    ['themselves', 'b'],
    ['what they replace', 'c'],
    ['a directory', 'd'],
    ['a directory of a lower layer', 'low'],
    ['the root', '.'],
    ['a path outside the image', '../../etc/passwd'],
  ])('to %s are refused', async (_what, target) => {
    const layers = [
      [directory('low'), file('c')],
      [directory('d'), hardlink(target === 'c' ? 'c' : 'b', target)],
    ];
    await expect(flat(...layers)).rejects.toMatchObject(invalid);
  });
});

describe('a sparse file', () => {
  const sparse = (size: number) => {
    const records = [
      ...[
        ['GNU.sparse.size', String(size)],
        ['GNU.sparse.map', `3,4,${size},0`],
      ],
      ['GNU.sparse.name', 'big'],
    ] as const as [string, string][];
    return dockerFiles([layerWithRecords(records, file('x', 'body'))]);
  };
  const open = (size: number) => openArchive(writeArchive(join(root, 'image.tar'), sparse(size)));

  it('has zeros where the layer has nothing', async () => {
    expect(await treeOf(await open(10))).toMatchObject({ big: { content: '\0\0\0body\0\0\0' } });
  });

  it('counts with its whole size', async () => {
    const tree = treeOf(await open(1_000_000), { maxBytes: 1_010_000 });
    expect((await tree).big?.content).toHaveLength(1_000_000);
    await expect(treeOf(await open(1_000_000), { maxBytes: 1_000_000 })).rejects.toMatchObject({
      code: 'image_too_big',
    });
  });
});

describe('the owner of a member', () => {
  const owners = async (uid: number) => {
    const layer = layerWithRecords([['uid', String(uid)]], { ...file('a'), gid: 7 });
    const files = dockerFiles([layer]);
    const { tar } = await flattenImage(await openArchive(writeArchive(join(root, 'image.tar'), files)));
    for await (const entry of readTar(tar)) return [entry.uid, entry.gid];
    return [];
  };

  it('may be any that Linux has; a negative one is that of a signed type', async () => {
    expect(await owners(2 ** 32 - 2)).toEqual([2 ** 32 - 2, 7]);
    expect(await owners(-2)).toEqual([2 ** 32 - 2, 7]);
    expect(await owners(-(2 ** 31))).toEqual([2 ** 31, 7]);
  });

  it.each([-1, 2 ** 32 - 1, 2 ** 32, 2 ** 40, -(2 ** 31) - 1])('is refused when it is %d', async (uid) => {
    await expect(owners(uid)).rejects.toMatchObject({
      ...invalid,
      message: expect.stringContaining(`"a" has the uid ${uid}`) as string,
    });
  });
});

describe('a layer that would take too much time', () => {
  it('is refused when its paths follow symbolic links without end', async () => {
    const links = Array.from({ length: 40 }, (_, at) => symlink(`l${at}`, `${'./'.repeat(1_000)}l${at + 1}`));
    const files = Array.from({ length: 300 }, (_, at) => file(`l0/${at}`, ''));
    await expect(flat([...links, ...files])).rejects.toMatchObject({
      code: 'image_too_big',
      message: expect.stringContaining('too many symbolic links') as string,
    });
  });
});

describe('a layer that would leave the image', () => {
  it.each([[file('../x')], [file('a/../../x')], [directory('..')], [file('../.wh.x', '')]])(
    'is refused for the path of %j',
    async (member) => {
      await expect(flat([member])).rejects.toMatchObject(invalid);
    },
  );

  it('stays inside: symbolic links in its paths are followed from the root of the image', async () => {
    const tree = await flat([symlink('up', '../../../etc'), symlink('top', '/'), file('up/passwd')]);
    expect(Object.keys(tree)).toEqual(['etc', 'etc/passwd', 'top', 'up']);
    expect(await paths([symlink('top', '/')], [file('top/top/x'), symlink('top/y', '..')])).toEqual([
      ...['top', 'x', 'y'],
    ]);
  });

  it('is refused for a path below a file, or in a loop of symbolic links, and the error names it', async () => {
    const below = flat([file('etc')], [file('etc/passwd')]);
    await expect(below).rejects.toMatchObject({
      ...invalid,
      message: expect.stringMatching(/"etc\/passwd" lies below "etc"/) as string,
    });
    for (const links of [[symlink('a', 'b'), symlink('b', 'a')], [symlink('a', '/a')]])
      await expect(flat([...links, file('a/x')])).rejects.toMatchObject({
        ...invalid,
        message: expect.stringMatching(/"a" follows too many symbolic links/) as string,
      });
  });

  it('is refused for paths that no program could open, also by way of symbolic links', async () => {
    const deep = 'd/'.repeat(150);
    await expect(flat([file(`${deep}${deep}x`)])).rejects.toMatchObject(invalid);
    await expect(flat([symlink('l', deep), symlink(`l/l`, deep), file('l/l/x')])).rejects.toMatchObject(
      invalid,
    );
    await expect(flat([file(`${`${'d'.repeat(250)}/`.repeat(17)}x`)])).rejects.toMatchObject(invalid);
    await expect(flat([symlink('l', 'n'.repeat(300)), file('l/x')])).rejects.toMatchObject(invalid);
  });

  it.each([
    ['nothing', ''],
    ['a path that is too long', 'x/'.repeat(2_100)],
  ])('is refused for a symbolic link to %s', async (_what, target) => {
    await expect(flat([symlink('l', target)])).rejects.toMatchObject(invalid);
  });

  it('stays inside with an absolute path, which is relative to the root of the image', async () => {
    expect(await paths([file('/etc/passwd')])).toEqual(['etc', 'etc/passwd']);
    expect(await flat([symlink('s', '../../etc/passwd')])).toMatchObject({
      s: { content: '../../etc/passwd' },
    });
  });

  it('is refused for a root that is a file', async () => {
    await expect(flat([file('.', 'x')])).rejects.toMatchObject(invalid);
  });
});
