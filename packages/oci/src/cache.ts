import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { oncePerKey, type Spawn } from '@fumehood/base';
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
const diskVersion = 5;
/** Largest size of an image's configuration as JSON, bytes: no program could get more arguments and variables. */
export const imageConfigMax = 2 ** 20;
const makeOnce = oncePerKey<void>();

/**
 * Returns the read-only disk of an image. If it is not cached, `make` makes it at the path `disk`, complete or not at all, and returns
 * the image's configuration. The cache grants nothing (docs/invariants.md, 11): its key is the digest that the caller has checked.
 * What an archive says about itself, as the digests of its layers, is no part of the key, because anybody can write it.
 */
export async function imageDisk(
  { digestOf, digest }: ProvenImage,
  cacheDirectory: string,
  make: (disk: string) => Promise<ImageConfig>,
): Promise<ImageDisk> {
  const key = createHash('sha256').update(`${diskVersion} ${digestOf} ${digest}`).digest('hex').slice(0, 32);
  const file = `image-${key}.sqfs`;
  const disk = join(cacheDirectory, file);
  const configFile = join(cacheDirectory, `image-${key}.json`);
  let makes = false;
  while (!existsSync(disk) || !existsSync(configFile)) {
    const work = async () => {
      makes = true;
      const config = await make(disk);
      await writeFile(`${configFile}.partial`, JSON.stringify(config), { mode: 0o600 });
      await rename(`${configFile}.partial`, configFile);
    };
    // A run has the limits of the job that started it, and ends with that job. When the run of another job fails, this job tries again.
    await makeOnce(disk, work).catch((error: unknown) => {
      if (makes) throw error;
    });
  }
  const now = Date.now() / 1000;
  for (const path of [disk, configFile]) await utimes(path, now, now); // the janitor removes the files that were not used for the longest time
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
