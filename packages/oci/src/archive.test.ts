import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ImageArchive, openArchive } from './archive.ts';
import { digestOf } from './digest.ts';
import {
  dockerFiles,
  file,
  type ImageFiles,
  json,
  layerOf,
  layoutFiles,
  manifestOf,
  treeOf,
  withManifest,
  writeArchive,
} from './testing/image.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-archive-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const open = (files: ImageFiles): Promise<ImageArchive> =>
  openArchive(writeArchive(join(root, 'image.tar'), files));
const layers = [layerOf(file('a')), layerOf(file('b'))];
const layout = () => layoutFiles(layers, { tag: 'one' });
const docker = () => dockerFiles(layers, { tag: 'one:1' });
const invalid = (why: string) => ({ code: 'image_invalid', message: expect.stringContaining(why) as string });

/** Returns the files with one bit flipped in the middle of one of them. */
function damage(files: ImageFiles, name: string): ImageFiles {
  const bytes = Buffer.from(files.get(name) as Buffer);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] as number) ^ 1;
  return files.set(name, bytes);
}

describe('an image', () => {
  it('has the configuration with which it is run', async () => {
    const config = { Env: ['A=1'], Entrypoint: ['/e'], Cmd: ['c'], User: '7', WorkingDir: '/w' };
    const expected = { env: ['A=1'], entrypoint: ['/e'], cmd: ['c'], user: '7', workingDir: '/w' };
    for (const files of [layoutFiles(layers, { config }), dockerFiles(layers, { config })])
      expect((await open(files)).config).toEqual(expected);
  });

  it('without a configuration has an empty one and the working directory /', async () => {
    const expected = { env: [], entrypoint: [], cmd: [], user: '', workingDir: '/' };
    expect((await open(layout())).config).toEqual(expected);
  });

  it('with the configuration and the layer sizes of another image is refused by the digest of a layer', async () => {
    const forged = docker().set('layer-0/layer.tar', layerOf(file('a', 'z')));
    const archive = await open(forged);
    await expect(treeOf(archive)).rejects.toMatchObject(invalid('has other bytes'));
  });
});

describe('the image in an archive', () => {
  it.each([['layout'], ['docker']])(
    'must be the only one; the error for several names their tags (%s)',
    async (form) => {
      const files = form === 'layout' ? layout() : docker();
      if (form === 'layout') {
        const index = JSON.parse(String(files.get('index.json'))) as { manifests: object[] };
        files.set('index.json', json({ manifests: [...index.manifests, ...index.manifests] }));
      } else {
        const images = JSON.parse(String(files.get('manifest.json'))) as object[];
        files.set('manifest.json', json([...images, ...images]));
      }
      await expect(open(files)).rejects.toMatchObject({
        code: 'image_not_found',
        message: expect.stringContaining('holds 2 images') as string,
        remedy: expect.stringContaining('one') as string,
      });
    },
  );

  it('is the variant for linux/amd64 of a nested index', async () => {
    const files = layout();
    const { digest } = manifestOf(files);
    const nest = (platform: object) => {
      const type = 'application/vnd.oci.image.index.v1+json';
      const other = {
        digest: `sha256:${'0'.repeat(64)}`,
        size: 1,
        platform: { os: 'linux', architecture: 'arm64' },
      };
      const nested = json({ mediaType: type, manifests: [other, { digest, size: 1, platform }] });
      files.set(`blobs/${digestOf(nested).replace(':', '/')}`, nested);
      return files.set(
        'index.json',
        json({ manifests: [{ mediaType: type, digest: digestOf(nested), size: 1 }] }),
      );
    };
    expect((await open(nest({ os: 'linux', architecture: 'amd64' }))).layers).toHaveLength(2);
    const windows = nest({ os: 'windows', architecture: 'amd64' });
    await expect(open(windows)).rejects.toMatchObject(invalid('no variant for linux/amd64'));
  });

  it('is refused when it is for another architecture', async () => {
    for (const files of [
      layoutFiles(layers, { architecture: 'arm64' }),
      dockerFiles(layers, { architecture: 'arm64' }),
    ])
      await expect(open(files)).rejects.toMatchObject(invalid('it is for linux/arm64'));
  });
});

describe('a changed byte', () => {
  it('in the manifest or the configuration is refused by its digest', async () => {
    const { name, digest } = manifestOf(layout());
    await expect(open(damage(layout(), name))).rejects.toMatchObject(invalid(`${digest} has other bytes`));
    const config = (JSON.parse(String(layout().get(name))) as { config: { digest: string } }).config.digest;
    const damaged = damage(layout(), `blobs/${config.replace(':', '/')}`);
    await expect(open(damaged)).rejects.toMatchObject(invalid(`${config} has other bytes`));
  });

  it.each([
    ['plain', (bytes: Buffer) => bytes],
    ['compressed', (bytes: Buffer) => gzipSync(bytes, { level: 0 })],
  ])('in a %s layer is refused when the layer is read, wherever it is', async (_form, packed) => {
    const layer = layerOf(file('a', 'content'.repeat(100)));
    const files = layoutFiles([layer], { packed });
    const blob = `blobs/${digestOf(packed(layer)).replace(':', '/')}`;
    const bytes = files.get(blob) as Buffer;
    for (let at = 0; at < bytes.length; at += 61) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 4;
      const archive = await open(files.set(blob, changed));
      await expect(treeOf(archive)).rejects.toMatchObject({
        code: 'image_invalid',
      });
    }
  });

  it('after the end of a layer is refused by its digest', async () => {
    const layer = Buffer.concat([layerOf(file('a')), Buffer.alloc(9_000)]);
    for (const [files, name] of [
      [layoutFiles([layer]), `blobs/${digestOf(layer).replace(':', '/')}`],
      [dockerFiles([layer]), 'layer-0/layer.tar'],
    ] as const) {
      (files.get(name) as Buffer).set([1], layer.length - 1);
      const flat = treeOf(await open(files));
      layer.set([0], layer.length - 1);
      await expect(flat).rejects.toMatchObject(invalid('has other bytes'));
    }
  });
});

describe('an archive that holds no valid image', () => {
  const manifest = (change: Parameters<typeof withManifest>[1]) => withManifest(layout(), change);

  it.each<[string, () => ImageFiles, string]>([
    ['has neither form', () => new Map([['file', Buffer.from('x')]]), 'neither'],
    ['has an index that is not JSON', () => layout().set('index.json', Buffer.from('{')), 'not JSON'],
    ['has an index without manifests', () => layout().set('index.json', json({})), 'index.json'],
    ['has a document of 5 MiB', () => layout().set('index.json', Buffer.alloc(5 * 2 ** 20)), '5242880 bytes'],
    [
      'names a blob by another hash',
      () => manifest((one) => Object.assign(one.config, { digest: 'md5:00' })),
      'manifest',
    ],
    [
      'names a blob by a path',
      () => manifest((one) => Object.assign(one.config, { digest: 'sha256:../../x' })),
      'manifest',
    ],
    [
      'does not contain a layer',
      () => manifest((one) => Object.assign(one.layers[0] ?? {}, { digest: digestOf(Buffer.from('?')) })),
      'is missing',
    ],
    [
      'has a layer with another size',
      () => manifest((one) => Object.assign(one.layers[0] ?? {}, { size: 7 })),
      'another size',
    ],
    [
      'has a layer with a negative size',
      () => manifest((one) => Object.assign(one.layers[0] ?? {}, { size: -1 })),
      'manifest',
    ],
    [
      'has a layer with an absurd size',
      () => manifest((one) => Object.assign(one.layers[0] ?? {}, { size: 1e300 })),
      'manifest',
    ],
    [
      'has a layer with another media type',
      () => manifest((one) => Object.assign(one.layers[0] ?? {}, { mediaType: 'text/html' })),
      'the type text/html',
    ],
    [
      'has 501 layers',
      () => manifest((one) => Object.assign(one, { layers: Array(501).fill(one.layers[0]) })),
      'more than 500 layers',
    ],
    [
      'has a layer in place of its configuration',
      () => manifest((one) => Object.assign(one, { config: one.layers[0] })),
      'configuration',
    ],
    [
      'does not contain a layer, from `docker save`',
      () => docker().set('manifest.json', json([{ Config: 'config.json', Layers: ['../x', '/y'] }])),
      'is missing',
    ],
    [
      'has more layers than digests',
      () => docker().set('manifest.json', json([{ Config: 'config.json', Layers: ['layer-0/layer.tar'] }])),
      '2 digests',
    ],
    [
      'has a configuration with too many values, which take long to parse',
      () => layoutFiles(layers, { config: { Labels: Array(50_000).fill(0) } }),
      'the configuration has more than 50000 values',
    ],
    [
      'has no digests',
      () => docker().set('config.json', json({ os: 'linux', architecture: 'amd64' })),
      '0 digests',
    ],
  ])('is refused: it %s', async (_what, files, why) => {
    await expect(open(files())).rejects.toMatchObject(invalid(why));
  });

  it('is refused: it is not a tar', async () => {
    const path = join(root, 'zipped.tar');
    await writeFile(path, gzipSync(Buffer.alloc(9_000)));
    await expect(openArchive(path)).rejects.toMatchObject(invalid('the archive cannot be read'));
  });
});
