import { createReadStream } from 'node:fs';
import { collect, FumehoodError } from '@fumehood/base';
import { readTar } from '@fumehood/disk';
import { blobPath, documentMax, parseConfig, parseDocument, selectManifest } from './documents.ts';
import { verifyBlob } from './digest.ts';
import { imageInvalid, imageNotFound } from './errors.ts';
import { type Config, type Descriptor, dockerManifestSchema, indexSchema, manifestSchema } from './schema.ts';

/** How to run an image, as its configuration says. */
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
  /** Whether the digest is that of the layer's bytes in the archive or, as `docker save` writes it, of the decompressed bytes. */
  readonly digestOf: 'packed' | 'unpacked';
}

/** An image in an archive file. */
export interface ImageArchive {
  readonly file: string;
  readonly config: ImageConfig;
  /** Bottom layer first. */
  readonly layers: readonly ImageLayer[];
}

interface Member {
  readonly offset: number;
  readonly size: number;
}

/** The documents and layers in an archive file, by path. */
interface Members {
  readonly file: string;
  readonly members: ReadonlyMap<string, Member>;
}

const membersMax = 100_000;

/** Reads an archive of one image: a tar of an OCI layout or of `docker save`. Errors: `image_invalid`, `image_not_found`. */
export async function openArchive(file: string): Promise<ImageArchive> {
  const archive = { file, members: await listMembers(file) };
  if (archive.members.has('index.json')) return openLayout(archive);
  if (archive.members.has('manifest.json')) return openDockerSave(archive);
  throw imageInvalid('the archive is neither an OCI layout nor written by `docker save`');
}

async function listMembers(file: string): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  try {
    const limits = { maxEntries: membersMax };
    for await (const entry of readTar(createReadStream(file, { highWaterMark: 1 << 20 }), limits))
      if (entry.type === 'file')
        members.set(entry.path.replace(/^\.\//, ''), { offset: entry.bodyOffset ?? 0, size: entry.size });
  } catch (error) {
    throw error instanceof FumehoodError ? imageInvalid(error.message) : error;
  }
  return members;
}

async function readDocument({ file, members }: Members, path: string): Promise<Buffer> {
  const member = members.get(path);
  if (!member) throw imageInvalid(`${path} is missing`);
  const { offset, size } = member;
  if (size > documentMax) throw imageInvalid(`${path} has ${size} bytes`);
  if (size === 0) return Buffer.alloc(0);
  return collect(createReadStream(file, { start: offset, end: offset + size - 1 }), size);
}

async function openLayout(archive: Members): Promise<ImageArchive> {
  const readBlob = async (descriptor: Descriptor) =>
    verifyBlob(descriptor, await readDocument(archive, blobPath(descriptor.digest)));
  const index = parseDocument(indexSchema, await readDocument(archive, 'index.json'), 'index.json');
  const top = await selectManifest(index.manifests, undefined, readBlob);
  const manifest = parseDocument(manifestSchema, await readBlob(top), 'the manifest');
  const layers = manifest.layers.map((layer) => {
    const member = archive.members.get(blobPath(layer.digest));
    if (!member) throw imageInvalid(`the layer ${layer.digest} is missing`);
    if (member.size !== layer.size) throw imageInvalid(`the layer ${layer.digest} has another size`);
    return { ...member, digest: layer.digest, digestOf: 'packed' as const };
  });
  const bytes = await readBlob(manifest.config);
  return archiveOf(archive.file, parseConfig(bytes), layers);
}

async function openDockerSave(archive: Members): Promise<ImageArchive> {
  const manifest = await readDocument(archive, 'manifest.json');
  const images = parseDocument(dockerManifestSchema, manifest, 'manifest.json');
  if (images.length !== 1) {
    const tags = images.flatMap(({ RepoTags }) => RepoTags ?? []);
    throw imageNotFound(
      `the archive holds ${images.length} images`,
      `Save one of them alone: ${tags.join(', ')}.`,
    );
  }
  const [image] = images as [(typeof images)[number]];
  const bytes = await readDocument(archive, image.Config);
  const config = parseConfig(bytes);
  const digests = config.rootfs?.diff_ids ?? [];
  if (digests.length !== image.Layers.length)
    throw imageInvalid(
      `it has ${image.Layers.length} layers, but its configuration has ${digests.length} digests of layers`,
    );
  const layers = image.Layers.map((path, index) => {
    const member = archive.members.get(path);
    if (!member) throw imageInvalid(`the layer ${path} is missing`);
    return { ...member, digest: digests[index] as string, digestOf: 'unpacked' as const };
  });
  return archiveOf(archive.file, config, layers);
}

function archiveOf(file: string, { config }: Config, layers: ImageLayer[]): ImageArchive {
  return {
    file,
    layers,
    config: {
      env: config?.Env ?? [],
      entrypoint: config?.Entrypoint ?? [],
      cmd: config?.Cmd ?? [],
      user: config?.User ?? '',
      workingDir: config?.WorkingDir || '/',
    },
  };
}
