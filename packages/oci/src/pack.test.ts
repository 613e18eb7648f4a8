import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import { packLayout, writeImageArchive } from './pack.ts';
import { file, layerOf, layoutFiles, manifestOf, treeOf, writeLayout } from './testing/image.ts';

const layers = [layerOf(file('a')), layerOf(file('b'))];
let root: string;
let layout: string;
let number = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-pack-'));
});
beforeEach(() => {
  layout = join(root, `layout-${number++}`);
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function packed(reference?: string): Promise<string> {
  const path = join(root, 'packed.tar');
  await writeFile(path, (await packLayout(layout, reference)).bytes);
  return path;
}

describe('an OCI layout directory', () => {
  it('is packed into an archive of the same image, without blobs that the image does not need', async () => {
    const files = layoutFiles(layers, { tag: 'one', config: { Cmd: ['c'] } });
    writeLayout(layout, files.set(`blobs/sha256/${'0'.repeat(64)}`, Buffer.from('of another image')));
    const archive = await openArchive(await packed('one'));
    expect(archive.config.cmd).toEqual(['c']);
    expect(Object.keys(await treeOf(archive))).toEqual(['a', 'b']);
    expect(readFileSync(join(root, 'packed.tar'), 'latin1')).not.toContain('of another image');
  });

  it('gives the same bytes for every tag', async () => {
    writeLayout(layout, layoutFiles(layers, { tag: 'one' }));
    const one = await buffer((await packLayout(layout, 'one')).bytes);
    writeLayout(layout, layoutFiles(layers, { tag: 'two' }));
    expect((await buffer((await packLayout(layout)).bytes)).equals(one)).toBe(true);
  });

  it('is refused before anything is written when it is not a layout or has no image of this tag', async () => {
    await expect(packLayout(join(root, 'nothing'))).rejects.toMatchObject({ code: 'image_not_found' });
    writeLayout(layout, layoutFiles(layers, { tag: 'one' }));
    await expect(packLayout(layout, 'two')).rejects.toMatchObject({
      code: 'image_not_found',
      remedy: 'Name one of: one.',
    });
  });

  it('is refused before anything is written when it is for another architecture', async () => {
    writeLayout(layout, layoutFiles(layers, { architecture: 'arm64' }));
    await expect(packLayout(layout)).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining('linux/arm64') as string,
    });
  });

  it('is refused before anything is written when a document or a layer does not match its descriptor', async () => {
    const files = layoutFiles(layers);
    const { name, digest } = manifestOf(files);
    const other = Buffer.from(String(files.get(name)).replace('"schemaVersion":2', '"schemaVersion":3'));
    writeLayout(layout, new Map([...files, [name, other]]));
    await expect(packLayout(layout)).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining(`${digest} has other bytes`) as string,
    });
    const blob = [...files.keys()].find((path) => files.get(path) === layers[0]) as string;
    writeLayout(layout, new Map([...files, [blob, Buffer.from('short')]]));
    await expect(packLayout(layout)).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining('has another size') as string,
    });
    await rm(join(layout, blob));
    await expect(packLayout(layout)).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining('is missing') as string,
    });
  });
});

describe('writeImageArchive', () => {
  const config = { env: ['A=1'], entrypoint: ['/e'], cmd: ['c'], user: '7', workingDir: '/w' };

  it('writes the layer and the configuration, with equal bytes for equal input', async () => {
    const layerFile = join(root, 'layer.tar');
    await writeFile(layerFile, layers[0] as Buffer);
    const first = await writeImageArchive(join(root, 'one.tar'), { config, layerFile });
    const second = await writeImageArchive(join(root, 'two.tar'), { config, layerFile });
    expect(second).toEqual(first);
    const archive = await openArchive(join(root, 'one.tar'));
    expect(archive.config).toEqual(config);
    expect(Object.keys(await treeOf(archive))).toEqual(['a']);
    expect(existsSync(layerFile)).toBe(true);
  });
});
