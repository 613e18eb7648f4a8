import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { collect, FumehoodError } from '@fumehood/base';
import { readTar } from '@fumehood/disk';
import type { z } from 'zod';
import { imageInvalid, imageNotFound } from './errors.ts';
import {
  type Config,
  configSchema,
  type Descriptor,
  dockerManifestSchema,
  indexSchema,
  manifestSchema,
} from './schema.ts';

/** What an image says about how to run it. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly user: string;
  readonly workingDir: string;
}

/** A layer in an archive file. */
export interface ImageLayer {
  readonly offset: number;
  readonly size: number;
  /** The SHA-256 that the image promises. */
  readonly digest: string;
  /** Of its bytes as they lie there, or, in what `docker save` writes, of those that they unpack to. */
  readonly digestOf: 'packed' | 'unpacked';
}

export interface ImageArchive {
  readonly file: string;
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  /** SHA-256 over the configuration and the layers' places and digests: one name for one content of one archive file. */
  readonly digest: string;
}

interface Member {
  readonly offset: number;
  readonly size: number;
}

/** Largest JSON document of an image that is read. */
const documentMax = 4 * 2 ** 20;

/**
 * Reads an image archive: a tar of an OCI layout, or what `docker save` writes. `reference` is a tag, needed only when there
 * are several images. Errors: `image_invalid`, `image_not_found`.
 */
export async function openArchive(file: string, reference?: string): Promise<ImageArchive> {
  const members = await membersOf(file);
  const read = (path: string) => readDocument(file, members, path);
  if (members.has('index.json')) return openLayout(file, members, read, reference);
  if (members.has('manifest.json')) return openDockerSave(file, members, read, reference);
  throw imageInvalid('the archive is neither an OCI layout nor written by `docker save`');
}

async function membersOf(file: string): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  try {
    const limits = { maxEntries: 100_000 };
    for await (const entry of readTar(createReadStream(file, { highWaterMark: 1 << 20 }), limits))
      if (entry.type === 'file')
        members.set(entry.path.replace(/^\.\//, ''), { offset: entry.bodyOffset, size: entry.size });
  } catch (error) {
    throw error instanceof FumehoodError ? imageInvalid(error.message) : error;
  }
  return members;
}

async function readDocument(file: string, members: Map<string, Member>, path: string): Promise<Buffer> {
  const member = members.get(path);
  if (!member) throw imageInvalid(`${path} is missing`);
  if (member.size > documentMax) throw imageInvalid(`${path} has ${member.size} bytes`);
  return readRange(file, member);
}

function readRange(file: string, { offset, size }: Member): Promise<Buffer> {
  if (size === 0) return Promise.resolve(Buffer.alloc(0));
  return collect(createReadStream(file, { start: offset, end: offset + size - 1 }), size);
}

export function parseDocument<T>(schema: z.ZodType<T>, bytes: Buffer, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw imageInvalid(`${what} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw imageInvalid(`${what}: ${parsed.error.issues[0]?.message ?? 'malformed'}`);
  return parsed.data;
}

export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** The bytes, if they are what the descriptor says. Errors: `image_invalid`. */
export function verified(descriptor: Descriptor, bytes: Buffer): Buffer {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (digest !== descriptor.digest) throw imageInvalid(`${descriptor.digest} has other bytes`);
  return bytes;
}

async function openLayout(
  file: string,
  members: Map<string, Member>,
  read: (path: string) => Promise<Buffer>,
  reference: string | undefined,
): Promise<ImageArchive> {
  const blob = async (descriptor: Descriptor) =>
    verified(descriptor, await read(blobPath(descriptor.digest)));
  const index = parseDocument(indexSchema, await read('index.json'), 'index.json');
  const top = await selectManifest(index.manifests, reference, blob);
  const manifest = parseDocument(manifestSchema, await blob(top), 'the manifest');
  const layers = manifest.layers.map((layer) => {
    const member = members.get(blobPath(layer.digest));
    if (!member) throw imageInvalid(`the layer ${layer.digest} is missing`);
    if (member.size !== layer.size) throw imageInvalid(`the layer ${layer.digest} has another size`);
    return { ...member, digest: layer.digest, digestOf: 'packed' as const };
  });
  const bytes = await blob(manifest.config);
  return archiveOf(file, bytes, parseConfig(bytes), layers);
}

/** The one manifest that is meant: by reference, then down a nested index to linux/amd64. */
export async function selectManifest(
  manifests: readonly Descriptor[],
  reference: string | undefined,
  blob: (descriptor: Descriptor) => Promise<Buffer>,
): Promise<Descriptor> {
  const nameOf = (descriptor: Descriptor) => descriptor.annotations?.['org.opencontainers.image.ref.name'];
  const names = manifests.map(nameOf).filter((name) => name !== undefined);
  const wanted =
    reference === undefined ? manifests : manifests.filter((manifest) => nameOf(manifest) === reference);
  if (wanted.length !== 1) {
    const why =
      reference === undefined
        ? `the layout holds ${manifests.length} images`
        : `the layout has no image ${reference}`;
    throw imageNotFound(
      why,
      names.length > 0 ? `Name one of: ${names.join(', ')}.` : 'Leave out the reference.',
    );
  }
  let [chosen] = wanted as [Descriptor];
  for (let depth = 0; depth < 3 && /index|manifest\.list/.test(chosen.mediaType ?? ''); depth++) {
    const nested = parseDocument(indexSchema, await blob(chosen), 'a nested index').manifests;
    const match = nested.find(
      ({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64',
    );
    if (!match) throw imageInvalid('it has no variant for linux/amd64');
    chosen = match;
  }
  return chosen;
}

async function openDockerSave(
  file: string,
  members: Map<string, Member>,
  read: (path: string) => Promise<Buffer>,
  reference: string | undefined,
): Promise<ImageArchive> {
  const images = parseDocument(dockerManifestSchema, await read('manifest.json'), 'manifest.json');
  const wanted =
    reference === undefined ? images : images.filter((image) => image.RepoTags?.includes(reference));
  if (wanted.length !== 1) {
    const tags = images.flatMap((image) => image.RepoTags ?? []);
    throw imageNotFound(
      `the archive holds ${images.length} images, ${wanted.length} of them meant`,
      `Save one of them alone: ${tags.join(', ')}.`,
    );
  }
  const [image] = wanted as [(typeof images)[number]];
  const bytes = await read(image.Config);
  const config = parseConfig(bytes);
  const digests = config.rootfs?.diff_ids ?? [];
  if (digests.length !== image.Layers.length)
    throw imageInvalid(
      `it has ${image.Layers.length} layers, and its configuration the digests of ${digests.length}`,
    );
  const layers = image.Layers.map((path, index) => {
    const member = members.get(path);
    if (!member) throw imageInvalid(`the layer ${path} is missing`);
    return { ...member, digest: digests[index] as string, digestOf: 'unpacked' as const };
  });
  return archiveOf(file, bytes, config, layers);
}

/** An image's configuration. Errors: `image_invalid`, also for one of another kind of machine. */
export function parseConfig(bytes: Buffer): Config {
  const config = parseDocument(configSchema, bytes, 'the configuration');
  const { os, architecture } = config;
  if (os !== 'linux' || architecture !== 'amd64') throw imageInvalid(`it is for ${os}/${architecture}`);
  return config;
}

function archiveOf(
  file: string,
  configBytes: Buffer,
  { config }: Config,
  layers: ImageLayer[],
): ImageArchive {
  const hash = createHash('sha256').update(configBytes).update(JSON.stringify(layers));
  return {
    file,
    layers,
    digest: `sha256:${hash.digest('hex')}`,
    config: {
      env: config?.Env ?? [],
      entrypoint: config?.Entrypoint ?? [],
      cmd: config?.Cmd ?? [],
      user: config?.User ?? '',
      workingDir: config?.WorkingDir || '/',
    },
  };
}
