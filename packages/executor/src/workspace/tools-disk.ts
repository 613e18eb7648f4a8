import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { FileCacheUse } from '@fumehood/base';
import type { DiskMaker } from '../disk-maker/make-disk.ts';
import { hostTools } from '../disk-maker/tools-tar.ts';
import { isFailureOfOneJob } from '../errors.ts';

/** Part of the cache key. It has to change when the same programs would give another disk. */
const format = 1;

/**
 * Makes the read-only disk with the tools of this host, which guests run where no step can change them, unless it is cached, and returns
 * its name in the directory of disks. Errors: those of the disk maker, and the signal's reason.
 */
export async function toolsDisk(
  maker: DiskMaker,
  cache: FileCacheUse,
  disks: string,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256').update(String(format));
  for (const [source] of hostTools) {
    const own = createHash('sha256');
    await pipeline(createReadStream(source), own);
    hash.update(own.digest());
  }
  const file = `tools-${hash.digest('hex').slice(0, 32)}.sqfs`;
  const path = join(disks, file);
  await cache.get({
    files: [path],
    what: 'the disk of the tools',
    signal,
    isOwnFailure: isFailureOfOneJob,
    make: async (stop) => void (await maker.make({ type: 'tools' }, [], path, stop)),
  });
  return file;
}
