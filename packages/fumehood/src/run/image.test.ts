import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageNames } from '../images/recipes.ts';
import { isMarked } from '../state/marker.ts';
import type { State } from '../state/state.ts';
import { parseImage, withPlainImage } from './image.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-image-'));
  for (const name of ['layout', 'with:colon']) {
    await mkdir(join(root, name));
    await writeFile(join(root, name, 'index.json'), '{}');
  }
  await mkdir(join(root, 'empty'));
  await writeFile(join(root, 'archive.tar'), '');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const usage = (message: string, remedy: string) =>
  expect.objectContaining({
    code: 'usage',
    message: expect.stringContaining(message) as string,
    remedy: expect.stringContaining(remedy) as string,
  }) as Error;

describe('oci:DIR[:REF]', () => {
  it('names a layout, with or without a reference', () => {
    const directory = join(root, 'layout');
    expect(parseImage(`oci:${directory}`)).toEqual({ kind: 'layout', directory, reference: undefined });
    expect(parseImage(`oci:${directory}:v1.0`)).toEqual({ kind: 'layout', directory, reference: 'v1.0' });
  });

  it('may have a colon in the name of an existing directory', () => {
    const directory = join(root, 'with:colon');
    expect(parseImage(`oci:${directory}`)).toEqual({ kind: 'layout', directory, reference: undefined });
    expect(parseImage(`oci:${directory}:v1`)).toEqual({ kind: 'layout', directory, reference: 'v1' });
  });

  it('is refused if the layout does not exist, with how to make one', () => {
    for (const name of ['nothing', 'empty', 'archive.tar', 'nothing:v1'])
      expect(() => parseImage(`oci:${root}/${name}`)).toThrow(usage('is not an OCI layout', 'skopeo copy'));
  });
});

describe('docker-archive:FILE', () => {
  it('names an archive', () => {
    const file = join(root, 'archive.tar');
    expect(parseImage(`docker-archive:${file}`)).toEqual({ kind: 'archive', file });
  });

  it('is refused if the file does not exist, with how to make one', () => {
    for (const name of ['nothing', 'empty'])
      expect(() => parseImage(`docker-archive:${root}/${name}`)).toThrow(
        usage('is not a file', 'docker save -o'),
      );
  });
});

describe('a name', () => {
  it('names an image that comes with Fumehood', () => {
    expect(imageNames).toContain('scip-typescript');
    for (const name of imageNames) expect(parseImage(name)).toEqual({ kind: 'recipe', name });
  });

  it.each([
    ['debian'],
    ['docker://debian'],
    ['registry.example/group/image@sha256:00'],
    ['oci:'],
    ['docker-archive:'],
    ['../scip-typescript'],
    [''],
  ])('like %j is refused, with the forms that are accepted', (text) => {
    expect(() => parseImage(text)).toThrow(
      usage('`fumehood run` takes a file, an image of a registry', 'oci:DIR[:REF] (`skopeo copy'),
    );
    expect(() => parseImage(text)).toThrow(usage('', imageNames.join(', ')));
  });
});

it.each(['debian:12', 'docker.io/library/debian', `localhost:5000/a/b:1@sha256:${'0'.repeat(64)}`])(
  'a reference such as %s names an image of a registry',
  (reference) => {
    expect(parseImage(reference)).toEqual({ kind: 'reference', reference });
  },
);

describe('an archive that is compressed as a whole', () => {
  const state = () => ({ root: join(root, 'state'), images: join(root, 'state/images') }) as State;

  it('is used decompressed, and nothing of that is left', async () => {
    const file = join(root, 'archive.tar.gz');
    await writeFile(file, gzipSync('plain'));
    const used = await withPlainImage({ kind: 'archive', file }, state(), async (plain) => {
      expect(plain.kind).toBe('archive');
      return plain.kind === 'archive' ? readFile(plain.file, 'utf8') : '';
    });
    expect(used).toBe('plain');
    expect(await readdir(state().images)).toEqual([]);
    // It may be the first thing in a new state directory, which `fumehood up` accepts afterwards.
    expect(isMarked(state())).toBe(true);
  });

  it('leaves nothing when it is damaged or refused', async () => {
    const file = join(root, 'damaged.tar.gz');
    await writeFile(file, gzipSync('plain'.repeat(1_000)).subarray(0, 30));
    const use = () => Promise.reject(new Error('refused'));
    await expect(withPlainImage({ kind: 'archive', file }, state(), use)).rejects.toMatchObject({
      code: 'image_invalid',
    });
    await writeFile(file, gzipSync('plain'));
    await expect(withPlainImage({ kind: 'archive', file }, state(), use)).rejects.toThrow('refused');
    expect(await readdir(state().images)).toEqual([]);
  });

  it('is the archive itself when it is not compressed', async () => {
    const image = { kind: 'archive', file: join(root, 'archive.tar') } as const;
    expect(await withPlainImage(image, state(), (plain) => Promise.resolve(plain))).toBe(image);
  });
});
