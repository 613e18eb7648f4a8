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
const diskVersion = 2;
const makeOnce = oncePerKey<void>();

/**
 * Returns the read-only disk of an image and makes it if it is not cached. The cache grants nothing (docs/invariants.md, 11): its key
 * is the digest that the caller has checked. What an archive says about itself, as the digests of its layers, is no part of the key,
 * because anybody can write it.
 */
export async function imageDisk(
  spawn: Spawn,
  { archive: file, digestOf, digest }: ProvenImage,
  cacheDirectory: string,
): Promise<ImageDisk> {
  const archive = await openArchive(file);
  const key = createHash('sha256').update(`${diskVersion} ${digestOf} ${digest}`).digest('hex').slice(0, 32);
  const name = `image-${key}.sqfs`;
  const path = join(cacheDirectory, name);
  if (!existsSync(path)) await makeOnce(path, () => makeDisk(spawn, archive, path));
  return { file: name, config: archive.config };
}

async function makeDisk(spawn: Spawn, archive: ImageArchive, path: string): Promise<void> {
  const { tar, entries } = await flattenImage(archive);
  await writeDisk(spawn, tar, path, entries);
}
