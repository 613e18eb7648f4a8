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
  it('replaces files, and keeps what it does not name', async () => {
    const tree = await flat([file('a', 'old'), file('b')], [file('a', 'new', 0o755)]);
    expect(tree).toMatchObject({ a: { content: 'new', mode: 0o755 }, b: { content: 'b' } });
  });

  it('removes by whiteouts, whatever their place in it', async () => {
    const lower = [directory('d'), file('d/x'), file('d/y'), file('e')];
    expect(await paths(lower, [file('d/.wh.x', ''), file('.wh.e', '')])).toEqual(['d', 'd/y']);
    expect(await paths(lower, [file('.wh.d', '')])).toEqual(['e']);
    expect(await paths(lower, [file('d/z'), file('d/.wh..wh..opq', '')])).toEqual(['d', 'd/z', 'e']);
    expect(await paths(lower, [file('.wh..wh..opq', ''), file('f')])).toEqual(['f']);
  });

  it('does not remove what it has itself, nor what a later one brings back', async () => {
    expect(await paths([file('a')], [file('a', 'new'), file('.wh.a', '')])).toEqual(['a']);
    expect(await paths([file('a')], [file('.wh.a', '')], [file('a')])).toEqual(['a']);
    expect(await paths([file('d/x')], [file('.wh.d', '')], [directory('d')])).toEqual(['d']);
  });

  it('makes a file of a directory, with nothing below it, and a directory of a file', async () => {
    expect(await flat([file('d/x')], [file('d', 'now a file')])).toMatchObject({
      d: { content: 'now a file' },
    });
    expect(await paths([file('d/x')], [file('d')], [directory('d')])).toEqual(['d']);
    expect(await paths([file('d')], [directory('d'), file('d/x')])).toEqual(['d', 'd/x']);
    expect(await paths([symlink('d', '/etc')], [directory('d'), file('d/x')])).toEqual(['d', 'd/x']);
  });

  it('gives a directory another mode and leaves what is in it', async () => {
    const tree = await flat([directory('d', 0o755), file('d/x')], [directory('d', 0o700)]);
    expect(tree).toMatchObject({ d: { mode: 0o700 }, 'd/x': { content: 'd/x' } });
  });
});

describe('a layer', () => {
  it('that names a path twice means the last one', async () => {
    expect(await flat([file('a', 'first'), file('a', 'second')])).toMatchObject({ a: { content: 'second' } });
  });

  it('need not name the parents of what it has', async () => {
    const tree = await flat([file('a/b/c')]);
    expect(tree).toMatchObject({ a: { type: 'directory', mode: 0o755 }, 'a/b': { type: 'directory' } });
  });

  it('has no devices and pipes in the image, and hides what they replace', async () => {
    const device = (path: string, type: LayerMember['type']) => ({ path, type }) as LayerMember;
    const upper = [device('a', 'character'), device('b', 'block'), device('c', 'fifo'), hardlink('d', 'a')];
    expect(await paths([file('a'), file('b'), file('d'), file('e')], upper)).toEqual(['e']);
  });
});

describe('hard links', () => {
  it('are names of one file', async () => {
    const tree = await flat([file('a', 'one'), hardlink('b', 'a'), hardlink('c', './b')]);
    expect(tree).toMatchObject({ b: { content: 'one', file: 'a' }, c: { content: 'one', file: 'a' } });
  });

  it('keep their file when an upper layer removes or replaces the name that it was stored under', async () => {
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

  it('are to what their target was when they came', async () => {
    const tree = await flat([file('a', 'one'), hardlink('b', 'a'), file('a', 'two')]);
    expect(tree).toMatchObject({ a: { content: 'two' }, b: { content: 'one' } });
  });

  it('may lead to a lower layer, as long as their target is still there', async () => {
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
    ['a place outside', '../../etc/passwd'],
  ])('to %s are refused', async (_what, target) => {
    const layers = [[directory('low')], [directory('d'), hardlink('b', target)]];
    await expect(flat(...layers)).rejects.toMatchObject(invalid);
  });
});

describe('a layer that would lead out of the image', () => {
  it.each([[file('../x')], [file('a/../../x')], [directory('..')], [file('../.wh.x', '')]])(
    'by the path of %j is refused',
    async (member) => {
      await expect(flat([member])).rejects.toMatchObject(invalid);
    },
  );

  it('by a symbolic link on the way is refused, in one layer or two', async () => {
    await expect(flat([symlink('etc', '/etc'), file('etc/passwd')])).rejects.toMatchObject(invalid);
    await expect(flat([symlink('etc', '/etc')], [file('etc/passwd')])).rejects.toMatchObject(invalid);
    await expect(flat([file('etc')], [file('etc/passwd')])).rejects.toMatchObject(invalid);
  });

  it('by an absolute path is taken from the root of the image', async () => {
    expect(await paths([file('/etc/passwd')])).toEqual(['etc', 'etc/passwd']);
    expect(await flat([symlink('s', '../../etc/passwd')])).toMatchObject({
      s: { content: '../../etc/passwd' },
    });
  });

  it('by making a file of the root itself is refused', async () => {
    await expect(flat([file('.', 'x')])).rejects.toMatchObject(invalid);
  });
});
