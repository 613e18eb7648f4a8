import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import {
  directory,
  dockerFiles,
  file,
  hardlink,
  type ImageFiles,
  type LayerMember,
  layerOf,
  layoutFiles,
  symlink,
  type Tree,
  treeOf,
  writeArchive,
} from './testing/image.ts';
import { modelOf } from './testing/model.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-flatten-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function flat(files: ImageFiles, maxBytes?: number): Promise<Tree> {
  const archive = await openArchive(writeArchive(join(root, 'image.tar'), files));
  return treeOf(archive, maxBytes === undefined ? {} : { maxBytes });
}
const skippable = (layer: Buffer) =>
  Buffer.concat([Buffer.from('5f2a4d180400000061626364', 'hex'), zstdCompressSync(layer)]);
const pieces = (compress: (bytes: Buffer) => Buffer) => (layer: Buffer) =>
  Buffer.concat([compress(layer.subarray(0, 1_000)), compress(layer.subarray(1_000))]);
const gzip = (layer: Buffer) => execFileSync('gzip', ['-c'], { input: layer });

describe('two layers in every supported form', () => {
  const layers: LayerMember[][] = [
    [
      directory('bin'),
      file('bin/tool', 'tool', 0o4755),
      hardlink('bin/alias', 'bin/tool'),
      directory('etc', 0o700),
      file('etc/removed'),
      directory('cache'),
      file('cache/old'),
      directory('was-directory'),
      file('was-directory/inner'),
      file('was-file'),
      symlink('was-link', 'bin/tool'),
    ],
    [
      file('etc/.wh.removed', ''),
      file('cache/.wh..wh..opq', ''),
      file('cache/new'),
      file('was-directory', 'a file'),
      directory('was-file'),
      file('was-file/inner'),
      file('bin/tool', 'newer', 0o755),
      file('was-link', 'a file'),
    ],
  ];
  const tars = layers.map((members) => layerOf(...members));
  const gzipType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  const zstdType = 'application/vnd.oci.image.layer.v1.tar+zstd';

  it.each([
    ['an OCI layout with uncompressed layers', layoutFiles(tars)],
    ['an OCI layout with gzip layers', layoutFiles(tars, { packed: gzip, layerType: gzipType })],
    ['an OCI layout with zstd layers', layoutFiles(tars, { packed: zstdCompressSync, layerType: zstdType })],
    [
      'layers that begin with a zstd frame to skip',
      layoutFiles(tars, { packed: skippable, layerType: zstdType }),
    ],
    ['gzip layers in several members', layoutFiles(tars, { packed: pieces(gzipSync) })],
    ['zstd layers in several frames', layoutFiles(tars, { packed: pieces(zstdCompressSync) })],
    ['an archive of `docker save`', dockerFiles(tars)],
    ['an archive of `docker save` with gzip layers', dockerFiles(tars, { packed: gzip })],
  ])('%s', async (_form, files) => {
    const tree = await flat(files);
    expect(tree).toEqual(modelOf(layers));
    expect(tree).toMatchObject({
      'bin/tool': { content: 'newer', file: 'bin/tool' },
      'bin/alias': { content: 'tool', mode: 0o4755 },
    });
  });
});

describe('arbitrary layers', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const mode = fc.constantFrom(0o644, 0o755, 0o4711);
  const content = fc.string({ unit: 'binary-ascii', maxLength: 5 });
  const member: fc.Arbitrary<LayerMember> = fc.oneof(
    fc.tuple(path, content, mode).map((facts) => file(...facts)),
    fc.tuple(path, mode).map((facts) => directory(...facts)),
    fc.tuple(path, path).map((facts) => symlink(...facts)),
    fc.tuple(path, path).map((facts) => hardlink(...facts)),
    path.map((one) => file(one.replace(/([^/]+)$/, '.wh.$1'), '')),
    path.map((one) => file(`${one}/.wh..wh..opq`, '')),
  );

  /** Keeps what tar programs would write: nothing lies below a file, and a hard link follows its file. */
  function orderly(members: readonly LayerMember[]): LayerMember[] {
    const kept: LayerMember[] = [];
    const isBelow = (one: string, other: string) => one.startsWith(`${other}/`);
    for (const next of members) {
      const files = kept.filter(({ type }) => type !== 'directory');
      const conflicts =
        files.some(({ path: before }) => isBelow(next.path, before)) ||
        (next.type !== 'directory' && kept.some(({ path: before }) => isBelow(before, next.path)));
      const isDangling =
        next.type === 'hardlink' &&
        (next.path === next.linkTarget || !files.some(({ path: before }) => before === next.linkTarget));
      if (!conflicts && !isDangling) kept.push(next);
    }
    return kept;
  }

  it('flatten to the same tree as the reference model', async () => {
    let compared = 0;
    const layer = fc.array(member, { maxLength: 10 }).map(orderly);
    await fc.assert(
      fc.asyncProperty(fc.array(layer, { maxLength: 4 }), fc.boolean(), async (layers, oci) => {
        let expected: Tree;
        try {
          expected = modelOf(layers);
        } catch {
          return; // a layer has a path below a file of a lower layer
        }
        const tars = layers.map((members) => layerOf(...members));
        expect(await flat(oci ? layoutFiles(tars, { packed: gzipSync }) : dockerFiles(tars))).toEqual(
          expected,
        );
        compared += 1;
      }),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(100);
  });
});

describe('a layer that decompresses to much more than its size', () => {
  const zeros = Buffer.alloc(32 * 2 ** 20);
  const limit = 8 * 2 ** 20;
  const tooBig = { code: 'image_too_big' };

  it('is refused, whether the bytes are in a file, in headers or after the end', async () => {
    const padded = (start: Buffer) => layoutFiles([Buffer.concat([start, zeros])], { packed: gzipSync });
    await expect(flat(padded(layerOf()), limit)).rejects.toMatchObject(tooBig);
    await expect(
      flat(
        layoutFiles([layerOf({ path: 'f', content: zeros.toString('latin1') })], { packed: gzipSync }),
        limit,
      ),
    ).rejects.toMatchObject(tooBig);
    const many = layerOf(...Array.from({ length: 20_000 }, (_, at) => file(`f${at}`, '')));
    await expect(flat(layoutFiles([many], { packed: gzipSync }), limit)).rejects.toMatchObject(tooBig);
  });

  it('counts together with the other layers', async () => {
    const layer = layerOf({ path: 'f', content: zeros.toString('latin1', 0, 5 * 2 ** 20) });
    const files = (layers: Buffer[]) => layoutFiles(layers, { packed: gzipSync });
    expect(Object.keys(await flat(files([layer]), limit))).toEqual(['f']);
    await expect(flat(files([layer, layer]), limit)).rejects.toMatchObject(tooBig);
  });

  it('is refused for too many directories that its paths only imply, before they fill the memory', async () => {
    const layer = layerOf(
      ...Array.from({ length: 6_000 }, (_, at) => file(`${at}/${'d/'.repeat(198)}f`, '')),
    );
    const packed = gzipSync(layer, { level: 1 });
    expect(packed.length).toBeLessThan(layer.length / 50);
    await expect(flat(layoutFiles([layer], { packed: () => packed }))).rejects.toMatchObject(tooBig);
  });

  it('is read in a time that depends on the length of its paths, not on their depth', async () => {
    const timeOf = async (name: string, count: number) => {
      const top = Array.from({ length: 4_000 / name.length }, () => name.slice(1)).join('/');
      const files = layoutFiles([
        layerOf(...Array.from({ length: count }, (_, at) => file(`${top}/${at}`, ''))),
      ]);
      const start = performance.now();
      expect(Object.keys(await flat(files)).length).toBeGreaterThan(count);
      return performance.now() - start;
    };
    await timeOf('x'.repeat(200), 100);
    expect(await timeOf('x'.repeat(21), 1_000)).toBeLessThan(5 * (await timeOf('x'.repeat(200), 1_000)));
  });
});
