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
    const volumes = { Volumes: { '/data': {}, '/var/lib/x': {} } };
    const withVolumes = await open(layoutFiles(layers, { config: { ...config, ...volumes } }));
    expect(withVolumes.config).toEqual({ ...expected, volumes: ['/data', '/var/lib/x'] });
    const withSignal = await open(layoutFiles(layers, { config: { ...config, StopSignal: 'SIGRTMIN+3' } }));
    expect(withSignal.config).toEqual({ ...expected, stopSignal: 37 });
    const wrong = layoutFiles(layers, { config: { ...config, StopSignal: 'SIGX' } });
    await expect(open(wrong)).rejects.toMatchObject(invalid('"SIGX" does not exist'));
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

describe('the platform of a configuration', () => {
  const warningFor = async (facts: object) => {
    const files = dockerFiles(layers);
    files.set('config.json', json({ ...JSON.parse(String(files.get('config.json'))), ...facts }));
    return (await open(files)).config.warning;
  };

  it('gives no warning when it is linux/amd64', async () => {
    for (const facts of [{}, { variant: 'v1' }, { variant: null }])
      expect(await warningFor(facts)).toBeUndefined();
  });

  it.each([
    [{ architecture: 'x86_64' }, 'for linux/x86_64: it runs as an image for linux/amd64'],
    [{ architecture: '' }, 'does not say what platform'],
    [{ architecture: undefined, os: undefined }, 'does not say what platform'],
    [{ architecture: null, os: null }, 'does not say what platform'],
    [{ os: 'Linux', architecture: 'AMD64' }, 'for Linux/AMD64: it runs'],
    [{ variant: 'v3' }, 'for linux/amd64/v3: its programs may end with SIGILL'],
    [{ variant: '\u001b[2J' }, 'for linux/amd64/??2J:'],
  ])('runs with a warning when it is %j', async (facts, warning) => {
    expect(await warningFor(facts)).toContain(warning);
  });

  it('is refused when it is another one', async () => {
    for (const [facts, name] of [
      [{ architecture: 'arm64' }, 'linux/arm64'],
      [{ architecture: '386' }, 'linux/386'],
      [{ os: 'windows' }, 'windows/amd64'],
      [{ architecture: 'riscv64', os: '' }, 'linux/riscv64'],
    ] as const)
      await expect(warningFor(facts)).rejects.toMatchObject({
        ...invalid(`it is for ${name}`),
        remedy: expect.stringContaining('--platform linux/amd64') as string,
      });
    await expect(open(layoutFiles(layers, { architecture: 'arm64' }))).rejects.toMatchObject(
      invalid('it is for linux/arm64'),
    );
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
    const path = join(root, 'no.tar');
    await writeFile(path, 'no tar'.repeat(1_000));
    await expect(openArchive(path)).rejects.toMatchObject(invalid('the archive cannot be read'));
  });

  it('is refused: its manifest has fewer layers than its configuration', async () => {
    const files = manifest((one) => Object.assign(one, { layers: [] }));
    await expect(open(files)).rejects.toMatchObject(invalid('0 layers, but its configuration has 2 digests'));
  });

  it.each([
    ['gzip', '1f8b0800', 'gunzip'],
    ['zstd', '28b52ffd', 'zstd -d'],
    ['zstd', '502a4d18', 'zstd -d'],
    ['bzip2', '425a6839', 'bunzip2'],
    ['xz', 'fd377a58', 'unxz'],
  ])('is refused: it is compressed as a whole with %s (%s)', async (name, magic, program) => {
    const path = join(root, 'compressed.tar');
    await writeFile(path, Buffer.from(magic, 'hex'));
    await expect(openArchive(path)).rejects.toMatchObject({
      ...invalid(`is compressed with ${name}`),
      remedy: expect.stringContaining(`${program} FILE`) as string,
    });
  });

  it('is refused: a layer is compressed with something else than gzip and zstd', async () => {
    for (const [name, magic] of [
      ['bzip2', 'BZh9'],
      ['xz', '\xfd7zXZ\0'],
    ] as const) {
      const packed = (layer: Buffer) => Buffer.concat([Buffer.from(magic, 'latin1'), layer]);
      const archive = await open(layoutFiles(layers, { packed }));
      await expect(treeOf(archive)).rejects.toMatchObject({
        ...invalid(`is compressed with ${name}`),
        remedy: expect.stringContaining('skopeo copy') as string,
      });
    }
  });
});
