import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { oncePerKey, type Spawn } from '@fumehood/base';
import { writeDisk } from '@fumehood/disk';
import { type ImageArchive, type ImageConfig, openArchive } from './archive.ts';
import { flattenImage } from './flatten.ts';

/** The read-only disk of an image, and how to run the image. */
export interface ImageDisk {
  /** Name of the disk file in the cache directory. */
  readonly file: string;
  readonly config: ImageConfig;
}

/** Part of the cache key: must change when the same image would give another disk. */
const diskVersion = 1;
const makeOnce = oncePerKey<void>();

/**
 * Returns the read-only disk of an image archive and makes it if it is not cached. The caller must already have checked that the job
 * may have the archive: a cache hit grants nothing.
 */
export async function imageDisk(
  spawn: Spawn,
  archiveFile: string,
  cacheDirectory: string,
): Promise<ImageDisk> {
  const archive = await openArchive(archiveFile);
  const key = createHash('sha256').update(`${diskVersion} ${archive.digest}`).digest('hex').slice(0, 32);
  const file = `image-${key}.sqfs`;
  const path = join(cacheDirectory, file);
  if (!existsSync(path)) await makeOnce(path, () => makeDisk(spawn, archive, path));
  return { file, config: archive.config };
}

async function makeDisk(spawn: Spawn, archive: ImageArchive, path: string): Promise<void> {
  const { tar, entries } = flattenImage(archive);
  await writeDisk(spawn, tar, path, entries);
}
