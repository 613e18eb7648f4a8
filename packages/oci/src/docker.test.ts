import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import { decompressFile } from './compression.ts';
import { digestOf } from './digest.ts';
import { blobPath } from './documents.ts';
import { dockerFiles, file, json, type LayerMember, layerOf, treeOf } from './testing/image.ts';

let root: string;
let archive: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-docker-'));
  archive = join(root, 'image.tar');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const layer = layerOf(file('a'));
const configOf = (name: string, architecture = 'amd64') =>
  dockerFiles([layer], { config: { WorkingDir: `/${name}` }, architecture }).get('config.json') as Buffer;
const member = (path: string, bytes: Buffer): LayerMember => ({ path, content: bytes.toString('latin1') });
const entry = (Config: string, tag: string | null, Layers: unknown = ['layer.tar']) => ({
  ...{ Config, Layers, RepoTags: tag === null ? null : [tag] },
});
const invalid = (why: string) => ({ code: 'image_invalid', message: expect.stringContaining(why) as string });

async function opened(...members: LayerMember[]) {
  await writeFile(archive, layerOf(...members));
  return openArchive(archive);
}
/** Returns the name of the image of an archive with these entries in `manifest.json`, and these configurations. */
const selected = async (images: object[], configs: Record<string, Buffer>) => {
  const all = Object.entries(configs).map(([path, bytes]) => member(path, bytes));
  const members = [...all, member('layer.tar', layer), member('manifest.json', json(images))];
  return (await opened(...members)).config.workingDir.slice(1);
};

describe('an archive of `docker save`', () => {
  it('of several tags of one image holds one image', async () => {
    const images = [entry('c.json', 'one:1'), entry('c.json', 'two:2')];
    expect(await selected(images, { 'c.json': configOf('same') })).toBe('same');
  });

  it('of several platforms holds the image for linux/amd64', async () => {
    const images = [entry('arm.json', 'one:1'), entry('amd.json', 'one:1')];
    const configs = { 'arm.json': configOf('arm', 'arm64'), 'amd.json': configOf('amd') };
    expect(await selected(images, configs)).toBe('amd');
  });

  it('of several images is refused with the names that `docker save` takes', async () => {
    const [one, two] = [configOf('one'), configOf('two')];
    const id = digestOf(two).slice('sha256:'.length);
    const images = [entry('one.json', 'one:1'), entry(`blobs/sha256/${id}`, null)];
    const refused = selected(images, { 'one.json': one, [`blobs/sha256/${id}`]: two });
    await expect(refused).rejects.toMatchObject({
      ...{
        code: 'image_not_found',
        message: expect.stringContaining('holds 2 images for linux/amd64') as string,
      },
      remedy: expect.stringContaining(
        `docker save -o FILE IMAGE\`, where IMAGE is one of: one:1, sha256:${id}.`,
      ) as string,
    });
  });

  it('of several images for other platforms is refused', async () => {
    const images = [entry('one.json', 'one:1'), entry('two.json', 'two:1')];
    const configs = { 'one.json': configOf('one', 'arm64'), 'two.json': configOf('two', 's390x') };
    await expect(selected(images, configs)).rejects.toMatchObject(invalid('none of its 2 images is for'));
  });

  it('is refused when a configuration does not have the digest that names it', async () => {
    const name = blobPath(digestOf(configOf('one')));
    await expect(selected([entry(name, 'one:1')], { [name]: configOf('two') })).rejects.toMatchObject(
      invalid(`${name} has other bytes`),
    );
  });

  it('may name its files in any way that means the same, and by links', async () => {
    const members: LayerMember[] = [
      member('./c.json', configOf('c')),
      member('/d/layer.tar', layer),
      { path: 'hard.tar', type: 'hardlink', linkTarget: './d/layer.tar' },
      { path: 'e/link.tar', type: 'symlink', linkTarget: '../d/../hard.tar' },
    ];
    for (const path of ['d/layer.tar', './d//layer.tar', 'hard.tar', 'e/link.tar', './e/./link.tar'])
      expect(
        Object.keys(
          await treeOf(
            await opened(...members, member('manifest.json', json([entry('c.json', 'c:1', [path])]))),
          ),
        ),
      ).toEqual(['a']);
  });

  it.each<[string, string, string]>([
    ['a layer that is a link to nothing', '../nothing', 'the archive has no file "nothing"'],
    ['a layer that is a link out of the archive', '../../../../etc/passwd', 'no file "etc/passwd"'],
    ['a layer that is a loop of links', 'layer.tar', 'the layer d/layer.tar is a loop of links'],
  ])('is refused with %s', async (_what, linkTarget, why) => {
    const members: LayerMember[] = [
      member('c.json', configOf('c')),
      { path: 'd/layer.tar', type: 'symlink', linkTarget },
      member('manifest.json', json([entry('c.json', 'c:1', ['d/layer.tar'])])),
    ];
    await expect(opened(...members)).rejects.toMatchObject(invalid(why));
  });

  it('may have an image without layers', async () => {
    const config = json({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers' } });
    for (const none of [null, []]) {
      const members = [
        member('c.json', config),
        member('manifest.json', json([entry('c.json', 'c:1', none)])),
      ];
      expect(await treeOf(await opened(...members))).toEqual({});
    }
  });

  it('is read when it is compressed as a whole', async () => {
    const plain = layerOf(...[...dockerFiles([layer])].map(([path, bytes]) => member(path, bytes)));
    const skippable = Buffer.concat([
      Buffer.from('502a4d180400000061626364', 'hex'),
      zstdCompressSync(plain),
    ]);
    const members = Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))]);
    const packed = join(root, 'packed');
    for (const bytes of [gzipSync(plain), members, zstdCompressSync(plain), skippable]) {
      await writeFile(packed, bytes);
      expect(await decompressFile(packed, archive)).toBe(true);
      expect(Object.keys(await treeOf(await openArchive(archive)))).toEqual(['a']);
    }
    await writeFile(packed, gzipSync(plain).subarray(0, 100));
    await expect(decompressFile(packed, archive)).rejects.toMatchObject(invalid('its archive is damaged'));
    await writeFile(packed, plain);
    expect(await decompressFile(packed, archive)).toBe(false);
  });
});
