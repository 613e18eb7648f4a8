import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CachedWork, FileCacheUse, Spawn } from '@fumehood/base';
import { writeDisk } from '@fumehood/disk';
import { type ImageConfig, openArchive } from './archive.ts';
import { imageTooBig } from './errors.ts';
import { flattenImage } from './flatten.ts';

/** The read-only disk of an image, and how to run the image. */
export interface ImageDisk {
  /** Name of the disk file in the cache directory. */
  readonly file: string;
  readonly config: ImageConfig;
}

/** The archive of an image, and what identifies the image. */
export interface ProvenImage {
  readonly archive: string;
  /**
   * The SHA-256 of the whole archive, or of the manifest that the archive was made from. It depends on every byte of the image. The
   * caller has checked that the archive has it, and that the job may have the image.
   */
  readonly digestOf: 'archive' | 'manifest';
  readonly digest: string;
}

/** Part of the cache key: must change when the same image would give another disk, or when the file of a disk changes. */
const diskVersion = 6;
/** Largest size of an image's configuration as JSON, bytes: no program could get more arguments and variables. */
export const imageConfigMax = 2 ** 20;

/** How the disk of an image is made: `make` makes it at the path `disk`, complete or not at all, and returns the image's configuration. */
export interface DiskWork extends Pick<CachedWork, 'signal' | 'isOwnFailure'> {
  readonly make: (disk: string, stop: AbortSignal) => Promise<ImageConfig>;
}

/**
 * Returns the read-only disk of an image, and makes it in this directory if it is not cached. The cache grants nothing
 * (docs/invariants.md, 11): its key is the digest that the caller has checked. What an archive says about itself, as the digests of its
 * layers, is no part of the key, because anybody can write it.
 */
export async function imageDisk(
  { digestOf, digest }: ProvenImage,
  cacheDirectory: string,
  cache: FileCacheUse,
  { make, ...work }: DiskWork,
): Promise<ImageDisk> {
  const key = createHash('sha256').update(`${diskVersion} ${digestOf} ${digest}`).digest('hex').slice(0, 32);
  const file = `image-${key}.sqfs`;
  const disk = join(cacheDirectory, file);
  const configFile = join(cacheDirectory, `image-${key}.json`);
  await cache.get({
    ...work,
    files: [disk, configFile],
    what: 'the disk of the image',
    async make(stop) {
      const config = await make(disk, stop);
      await writeFile(`${configFile}.partial`, JSON.stringify(config), { mode: 0o600 });
      await rename(`${configFile}.partial`, configFile);
    },
  });
  return { file, config: JSON.parse(await readFile(configFile, 'utf8')) as ImageConfig };
}

/**
 * Writes the disk of the image in an archive, and returns its configuration. It parses an untrusted image, so it runs in a sandbox.
 * Errors: `image_…`, and those of `writeDisk`.
 */
export async function writeImageDisk(spawn: Spawn, archiveFile: string, disk: string): Promise<ImageConfig> {
  const archive = await openArchive(archiveFile);
  if (Buffer.byteLength(JSON.stringify(archive.config)) > imageConfigMax)
    throw imageTooBig(
      `its configuration has more than ${imageConfigMax} bytes`,
      'Shorten its environment, its entrypoint and its command.',
    );
  const { root, tar, entries } = await flattenImage(archive);
  await writeDisk(spawn, tar, disk, entries);
  return { ...archive.config, root };
}
