import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { oncePerKey, type Spawn } from '@fumehood/base';
import { writeDisk } from '@fumehood/disk';
import { type ImageConfig, openArchive } from './archive.ts';
import { flattenImage } from './flatten.ts';

export interface ImageDisk {
  /** Name of the disk file in the cache directory. */
  readonly file: string;
  readonly config: ImageConfig;
}

/** Changes when the same image would give another disk. */
const format = 1;
const makeOnce = oncePerKey<void>();

/**
 * The read-only disk of an image archive, made once for one content. Whoever asks has proved elsewhere that it may have the
 * archive: the cache itself grants nothing.
 */
export async function imageDisk(
  spawn: Spawn,
  archiveFile: string,
  cacheDirectory: string,
): Promise<ImageDisk> {
  const archive = await openArchive(archiveFile);
  const key = createHash('sha256').update(`${format} ${archive.digest}`).digest('hex').slice(0, 32);
  const file = `image-${key}.sqfs`;
  const path = join(cacheDirectory, file);
  if (!existsSync(path)) await makeOnce(path, () => makeDisk(spawn, archive, path));
  return { file, config: archive.config };
}

async function makeDisk(
  spawn: Spawn,
  archive: Awaited<ReturnType<typeof openArchive>>,
  path: string,
): Promise<void> {
  const flattened = flattenImage(archive);
  await writeDisk(spawn, flattened.tar, path, () => ({ entries: flattened.entries() }));
}
