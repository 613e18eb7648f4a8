import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import { digestOf } from './digest.ts';
import { packLayout } from './pack.ts';
import { file, json, layerOf, layoutFiles, manifestOf, writeArchive, writeLayout } from './testing/image.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-select-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';
/** A manifest or an index of a layout: its blobs, and the descriptor that names it. */
interface Part {
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly descriptor: Record<string, unknown>;
}
type Platform = string | null;

const platformOf = (platform: Platform) => {
  const [os, architecture, variant] = platform?.split('/') ?? [];
  return platform === null ? {} : { platform: { os, architecture, ...(variant && { variant }) } };
};

/** An image whose working directory is its name. */
function image(
  name: string,
  platform: Platform,
  { architecture = 'amd64', tag }: { architecture?: string; tag?: string } = {},
): Part {
  const files = layoutFiles([layerOf(file(name))], { architecture, config: { WorkingDir: `/${name}` } });
  const bytes = files.get(manifestOf(files).name) as Buffer;
  const annotations = tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag };
  files.delete('index.json');
  return {
    blobs: files,
    descriptor: {
      ...{ mediaType: manifestType, digest: digestOf(bytes), size: bytes.length, annotations },
      ...platformOf(platform),
    },
  };
}

function index(parts: readonly Part[], platform: Platform = null): Part {
  const bytes = json({ mediaType: indexType, manifests: parts.map(({ descriptor }) => descriptor) });
  const name = `blobs/${digestOf(bytes).replace(':', '/')}`;
  return {
    blobs: new Map([...parts.flatMap(({ blobs }) => [...blobs]), [name, bytes]]),
    descriptor: {
      ...{ mediaType: indexType, digest: digestOf(bytes), size: bytes.length },
      ...platformOf(platform),
    },
  };
}

/** Something that is stored beside images, such as a signature. */
function artifact(): Part {
  const config = json({});
  const blob = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(config), size: 2 };
  const bytes = json({ schemaVersion: 2, config: blob, layers: [] });
  const path = (digest: string) => `blobs/${digest.replace(':', '/')}`;
  return {
    blobs: new Map([
      [path(blob.digest), config],
      [path(digestOf(bytes)), bytes],
    ]),
    descriptor: { mediaType: manifestType, digest: digestOf(bytes), size: bytes.length },
  };
}

const layout = (parts: readonly Part[]) =>
  new Map([
    ...parts.flatMap(({ blobs }) => [...blobs]),
    ['index.json', json({ schemaVersion: 2, manifests: parts.map(({ descriptor }) => descriptor) })],
  ]);

/** Returns the name of the image that an archive of these parts gives, after checking that a directory gives the same. */
async function selected(...parts: Part[]): Promise<string> {
  const { config } = await openArchive(writeArchive(join(root, 'image.tar'), layout(parts)));
  const directory = await mkdtemp(join(root, 'layout-'));
  await (await packLayout(writeLayout(directory, layout(parts)))).bytes.toArray();
  return config.workingDir.slice(1);
}
const invalid = (why: string) => ({ code: 'image_invalid', message: expect.stringContaining(why) as string });

describe('the image of an index', () => {
  const arm = image('arm', 'linux/arm64', { architecture: 'arm64' });
  const plain = image('plain', 'linux/amd64');
  const v3 = image('v3', 'linux/amd64/v3');
  const v2 = image('v2', 'linux/amd64/v2');
  const unlabelled = image('unlabelled', null);
  const unlabelledArm = image('arm', null, { architecture: 'arm64' });
  const attestation = {
    ...artifact(),
    ...{ descriptor: { ...artifact().descriptor, ...platformOf('unknown/unknown') } },
  };

  it.each<[string, Part[], string]>([
    ['plain amd64, wherever it is', [v3, arm, plain, v2], 'plain'],
    ['amd64/v1, which is another name for it', [v3, image('v1', 'linux/amd64/v1')], 'v1'],
    ['the lowest variant where there is no plain one', [arm, v3, v2], 'v2'],
    ['x86_64', [arm, image('x86', 'linux/x86_64')], 'x86'],
    [
      'what its configuration says where the index gives no platform',
      [unlabelledArm, unlabelled],
      'unlabelled',
    ],
    ['what the index says before what configurations say', [unlabelled, plain], 'plain'],
    ['what a configuration says before a variant', [v3, unlabelled], 'unlabelled'],
    ['no attestation, signature or other artifact', [attestation, artifact(), unlabelled], 'unlabelled'],
  ])('is %s', async (_what, parts, name) => {
    expect(await selected(index(parts))).toBe(name);
    expect(await selected(index([index(parts)]))).toBe(name);
    expect(await selected(index([arm, index(parts, 'linux/amd64')]))).toBe(name);
    expect(await selected(...parts)).toBe(name);
  });

  it('is refused when none is for linux/amd64, with the platforms that there are', async () => {
    for (const [parts, others] of [
      [[arm, image('w', 'windows/amd64')], 'linux/arm64, windows/amd64'],
      [[unlabelledArm, attestation], 'linux/arm64'],
    ] as const)
      for (const one of [[index(parts)], parts])
        await expect(selected(...one)).rejects.toMatchObject(
          invalid(`it has no variant for linux/amd64, only for ${others}`),
        );
    await expect(selected(index([]))).rejects.toMatchObject(invalid('no variant for linux/amd64'));
  });

  it('is not looked for without end', async () => {
    const nested = Array.from({ length: 5 }).reduce<Part>((inner) => index([inner]), plain);
    await expect(selected(nested)).rejects.toMatchObject(invalid('nested more than 3 deep'));
    const many = Array.from({ length: 21 }, (_, at) => image(`${at}`, null, { architecture: 'arm64' }));
    await expect(selected(index(many))).rejects.toMatchObject(invalid('more than 20 manifests'));
  });
});

describe('the image of a layout', () => {
  it('is the one with a tag, whose platforms may be apart', async () => {
    const directory = writeLayout(
      join(root, 'tags'),
      layout([
        image('arm', 'linux/arm64', { architecture: 'arm64', tag: 'one' }),
        image('one', 'linux/amd64', { tag: 'one' }),
        image('two', 'linux/amd64', { tag: 'two' }),
      ]),
    );
    const path = join(root, 'image.tar');
    for (const tag of ['one', 'two']) {
      const { bytes } = await packLayout(directory, tag);
      await writeFile(path, bytes);
      expect((await openArchive(path)).config.workingDir).toBe(`/${tag}`);
    }
    await expect(packLayout(directory, 'three')).rejects.toMatchObject({
      ...{ code: 'image_not_found', remedy: 'Name one of: one, two.' },
    });
    await expect(packLayout(directory)).rejects.toMatchObject({
      ...{ code: 'image_not_found', message: 'the layout holds 2 images' },
      remedy: 'Name one of them: oci:DIR:one, oci:DIR:two.',
    });
  });

  it('may have several tags', async () => {
    const [one, two] = ['a', 'b'].map((tag) => image('same', null, { tag }));
    expect(await selected(one as Part, two as Part)).toBe('same');
  });

  it('has to be named by a tag where there are several; the remedy fits what was given', async () => {
    const parts = [image('one', 'linux/amd64'), image('two', 'linux/amd64')];
    await expect(packLayout(writeLayout(join(root, 'several'), layout(parts)))).rejects.toMatchObject({
      remedy: expect.stringContaining('Keep only one of them in `manifests`') as string,
    });
    const archive = openArchive(writeArchive(join(root, 'image.tar'), layout(parts)));
    await expect(archive).rejects.toMatchObject({
      ...{ code: 'image_not_found', message: 'the layout holds 2 images' },
      remedy: expect.stringContaining('Keep only one of them in `manifests`') as string,
    });
    const tagged = ['one', 'two'].map((tag) => image(tag, null, { tag }));
    await expect(openArchive(writeArchive(join(root, 'image.tar'), layout(tagged)))).rejects.toMatchObject({
      remedy: expect.stringMatching(/skopeo copy oci-archive:FILE:TAG .* one of: one, two\./) as string,
    });
  });

  it('is missing in an empty one', async () => {
    const files = new Map([['index.json', json({ schemaVersion: 2, manifests: null })]]);
    await expect(packLayout(writeLayout(join(root, 'none'), files))).rejects.toMatchObject({
      ...{ code: 'image_not_found', message: 'the layout holds no image' },
    });
  });
});
