import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import { digestOf } from './digest.ts';
import { dockerFiles, file, json, type LayerMember, layerOf, symlink, treeOf } from './testing/image.ts';

let root: string;
let archive: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-docker-'));
  archive = join(root, 'image.tar');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const layers = [layerOf(file('a')), layerOf(file('b')), layerOf(file('a', 'again'))];
const files = dockerFiles(layers);
const config = files.get('config.json') as Buffer;
const [first, second] = layers as [Buffer, Buffer];
const member = (path: string, bytes: Buffer): LayerMember => ({ path, content: bytes.toString('latin1') });
const blob = (bytes: Buffer) => `blobs/${digestOf(bytes).replace(':', '/')}`;
const entry = (Config: string, Layers: unknown, RepoTags: unknown = ['image:1']) => ({
  Config,
  RepoTags,
  Layers,
});
/** What Docker writes since version 25: the files of an OCI layout, and `manifest.json` that names the same blobs. */
const both = (images: object[], index: unknown, members: LayerMember[] = []): LayerMember[] => [
  ...[config, ...layers].map((bytes) => member(blob(bytes), bytes)),
  ...members,
  member('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')),
  member('index.json', json(index)),
  member('manifest.json', json(images)),
];
const paths = layers.map(blob);
const manifest = json({
  schemaVersion: 2,
  config: {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(config),
    size: config.length,
  },
  layers: [],
});

/** Archives that skopeo can copy without a name of the image. */
const cases: [name: string, members: LayerMember[]][] = [
  ['the files of `docker save`', [...files].map(([path, bytes]) => member(path, bytes))],
  [
    'layers that occur twice as links, as before version 25',
    [
      member('c.json', dockerFiles([first, second, second]).get('config.json') as Buffer),
      member('one/layer.tar', first),
      member('two/layer.tar', second),
      symlink('three/layer.tar', '../two/layer.tar'),
      member('manifest.json', json([entry('c.json', ['one/layer.tar', 'two/layer.tar', 'three/layer.tar'])])),
    ],
  ],
  [
    'an image without a tag: `manifests` is null',
    both([entry(blob(config), paths, null)], { schemaVersion: 2, manifests: null }),
  ],
  [
    'a manifest without layers, as in the candidates for version 25',
    both(
      [entry(blob(config), paths)],
      {
        schemaVersion: 2,
        manifests: [
          {
            mediaType: 'application/vnd.oci.image.manifest.v1+json',
            digest: digestOf(manifest),
            size: manifest.length,
          },
        ],
      },
      [member(blob(manifest), manifest)],
    ),
  ],
  [
    'compressed layers',
    [...dockerFiles(layers, { packed: gzipSync })].map(([path, bytes]) => member(path, bytes)),
  ],
];

describe('skopeo and Fumehood read the same layers from an archive of Docker with', () => {
  it.each(cases)('%s', async (_name, members) => {
    writeFileSync(archive, layerOf(...members));
    const copy = join(root, 'copy');
    await rm(copy, { recursive: true, force: true });
    execFileSync('skopeo', [
      'copy',
      '--insecure-policy',
      '--quiet',
      `docker-archive:${archive}`,
      `dir:${copy}`,
    ]);
    const copied = JSON.parse(readFileSync(join(copy, 'manifest.json'), 'utf8')) as {
      layers: { digest: string }[];
    };
    const opened = await openArchive(archive);
    expect(opened.layers.map(({ digest }) => digest)).toEqual(copied.layers.map(({ digest }) => digest));
    expect(Object.keys(await treeOf(opened))).toEqual(['a', 'b']);
  });
});
