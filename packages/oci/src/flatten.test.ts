import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  return treeOf(flattenImage(await openArchive(writeArchive(join(root, 'image.tar'), files))).tar);
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

  it('contributes no devices and pipes, which still hide what they replace', async () => {
    const device = (path: string, type: LayerMember['type']) => ({ path, type }) as LayerMember;
    const upper = [device('a', 'character'), device('b', 'block'), device('c', 'fifo'), hardlink('d', 'a')];
    expect(await paths([file('a'), file('b'), file('d'), file('e')], upper)).toEqual(['e']);
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

  it('may point to a lower layer while their target exists', async () => {
    expect(await flat([file('a')], [hardlink('b', 'a')])).toMatchObject({ b: { content: 'a', file: 'a' } });
    for (const last of [file('a', 'new'), file('.wh.a', '')])
      await expect(flat([file('a')], [hardlink('b', 'a')], [last])).rejects.toMatchObject(invalid);
  });

  it.each([
    ['nothing', 'x'],
    ['themselves', 'b'],
    ['a directory', 'd'],
    ['a directory of a lower layer', 'low'],
    ['the root', '.'],
    ['a path outside the image', '../../etc/passwd'],
  ])('to %s are refused', async (_what, target) => {
    const layers = [[directory('low')], [directory('d'), hardlink('b', target)]];
    await expect(flat(...layers)).rejects.toMatchObject(invalid);
  });
});

describe('a layer that would leave the image', () => {
  it.each([[file('../x')], [file('a/../../x')], [directory('..')], [file('../.wh.x', '')]])(
    'is refused for the path of %j',
    async (member) => {
      await expect(flat([member])).rejects.toMatchObject(invalid);
    },
  );

  it('is refused for a symbolic link in a path, within one layer or across two', async () => {
    await expect(flat([symlink('etc', '/etc'), file('etc/passwd')])).rejects.toMatchObject(invalid);
    await expect(flat([symlink('etc', '/etc')], [file('etc/passwd')])).rejects.toMatchObject(invalid);
    await expect(flat([file('etc')], [file('etc/passwd')])).rejects.toMatchObject(invalid);
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
