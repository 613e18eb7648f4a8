import type { z } from 'zod';
import { digestOf, verifyBlob } from './digest.ts';
import { blobPath, isAmd64, parseConfig, parseDocument, warningOf } from './documents.ts';
import { imageInvalid, imageNotFound } from './errors.ts';
import { listMembers, type Members } from './members.ts';
import {
  type Config,
  configSchema,
  type Descriptor,
  dockerManifestSchema,
  indexSchema,
  type manifestSchema,
} from './schema.ts';
import { signalNumber } from './stop-signal.ts';
import { oneManifest, otherPlatform, parseManifest, selectManifest } from './select.ts';

/** The mode and the owner of an image's root directory. */
export interface ImageRoot {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** How to run an image, as its configuration says. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  /** Directories that the image expects, whether or not a layer has them. */
  readonly volumes?: readonly string[] | undefined;
  /** The number of the signal that asks a step of this image to end; SIGTERM if it names none. */
  readonly stopSignal?: number | undefined;
  /** What a person has to know before the image runs. */
  readonly warning?: string | undefined;
  /** What the layers say, once they were read. */
  readonly root?: ImageRoot | undefined;
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

type DockerImage = z.infer<typeof dockerManifestSchema>[number];

/**
 * Reads an archive of one image: a tar of an OCI layout or of `docker save`. An archive may be both: Docker has written both since
 * version 25, and then only the files of `docker save` are complete. Errors: `image_invalid`, `image_not_found`.
 */
export async function openArchive(file: string): Promise<ImageArchive> {
  const members = await listMembers(file);
  if (members.has('manifest.json')) {
    const images = parseDocument(
      dockerManifestSchema,
      await members.document('manifest.json'),
      'manifest.json',
    );
    if (images.length > 0 || !members.has('index.json')) return openDockerSave(members, images);
  }
  if (members.has('index.json')) return openLayout(members);
  throw imageInvalid(
    'the archive is neither an OCI layout nor written by `docker save`',
    'Write one with `docker save -o FILE IMAGE`, or with `skopeo copy SOURCE docker-archive:FILE`.',
  );
}

async function openLayout(members: Members): Promise<ImageArchive> {
  const read = async (blob: Descriptor) => verifyBlob(blob, await members.document(blobPath(blob.digest)));
  const documents = { read, config: (_manifest: Descriptor, config: Descriptor) => read(config) };
  const index = parseDocument(indexSchema, await members.document('index.json'), 'index.json');
  const top = await selectManifest(index.manifests, undefined, documents, (tags) =>
    tags.length > 1
      ? `Write an archive of one of them: \`skopeo copy oci-archive:FILE:TAG docker-archive:NEW\`, where TAG is one of: ${tags.join(', ')}.`
      : oneManifest,
  );
  const manifest = parseManifest(await read(top));
  const config = parseConfig(await read(manifest.config));
  checkLayerCount(manifest, config);
  const layers = manifest.layers.map(({ digest, size }) => {
    const place = members.place(blobPath(digest), `the layer ${digest}`);
    if (place.size !== size) throw imageInvalid(`the layer ${digest} has another size`);
    return { ...place, digest, digestOf: 'packed' as const };
  });
  return { file: members.file, config: runConfig(config), layers };
}

async function openDockerSave(members: Members, images: readonly DockerImage[]): Promise<ImageArchive> {
  const image = await selectDockerImage(members, images);
  const config = parseConfig(await readDockerConfig(members, image));
  const digests = config.rootfs?.diff_ids ?? [];
  if (digests.length !== image.Layers.length)
    throw imageInvalid(
      `it has ${image.Layers.length} layers, but its configuration has ${digests.length} digests of layers`,
    );
  const layers = image.Layers.map((path, index) => {
    const place = members.place(path, `the layer ${path}`);
    return { ...place, digest: digests[index] as string, digestOf: 'unpacked' as const };
  });
  return { file: members.file, config: runConfig(config), layers };
}

/** Selects the only image, or the only one for linux/amd64. Several tags of one image have an entry each. */
async function selectDockerImage(members: Members, images: readonly DockerImage[]): Promise<DockerImage> {
  const keyOf = ({ Config, Layers }: DockerImage) => JSON.stringify([Config, Layers]);
  const different = [...new Map(images.map((one) => [keyOf(one), one])).values()];
  if (different.length === 1) return different[0] as DockerImage;
  const fitting: DockerImage[] = [];
  for (const one of different) {
    const config = parseDocument(configSchema, await readDockerConfig(members, one), 'a configuration');
    if (isAmd64(config)) fitting.push(one);
  }
  if (fitting.length === 1) return fitting[0] as DockerImage;
  if (fitting.length === 0)
    throw imageInvalid(`none of its ${different.length} images is for linux/amd64`, otherPlatform);
  const names = images.map(({ RepoTags, Config }) => RepoTags?.[0] ?? idOf(Config));
  throw imageNotFound(
    `the archive holds ${fitting.length} images for linux/amd64`,
    `Save one of them alone: \`docker save -o FILE IMAGE\`, where IMAGE is one of: ${names.join(', ')}.`,
  );
}

/** Reads a configuration. Among the blobs of a layout it is named by its digest, which is checked. Errors: `image_invalid`. */
async function readDockerConfig(members: Members, { Config }: DockerImage): Promise<Buffer> {
  const bytes = await members.document(Config);
  if (Config.startsWith('blobs/') && blobPath(digestOf(bytes)) !== Config)
    throw imageInvalid(`${Config} has other bytes`);
  return bytes;
}

/** Returns the ID of an image in Docker, or the name of its configuration if that is no digest. */
function idOf(config: string): string {
  return config.replace(/^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/, 'sha256:$1');
}

/** Refuses an image whose layers are not all in its manifest: it would run with an incomplete root. */
function checkLayerCount({ layers }: z.infer<typeof manifestSchema>, { rootfs }: Config): void {
  const count = rootfs?.diff_ids?.length;
  if (count !== undefined && count !== layers.length)
    throw imageInvalid(
      `its manifest has ${layers.length} layers, but its configuration has ${count} digests of layers`,
    );
}

function runConfig(parsed: Config): ImageConfig {
  const { config } = parsed;
  const warning = warningOf(parsed);
  return {
    env: config?.Env ?? [],
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    user: config?.User ?? '',
    workingDir: config?.WorkingDir || '/',
    ...(config?.StopSignal && { stopSignal: readStopSignal(config.StopSignal) }),
    ...(config?.Volumes && { volumes: Object.keys(config.Volumes) }),
    ...(warning !== undefined && { warning }),
  };
}

/** Errors: `image_invalid` for a signal that does not exist, as Docker refuses it. */
function readStopSignal(text: string): number {
  const number = signalNumber(text);
  if (number === null)
    throw imageInvalid(
      `its stop signal ${JSON.stringify(text)} does not exist`,
      'Name one in its `STOPSIGNAL`, such as SIGTERM.',
    );
  return number;
}
