import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, factsOf, removeTree, type Spawn } from '@fumehood/base';
import type { Log } from '../log.ts';

/** What the janitor cleans up. */
export interface JanitorDeps {
  readonly clock: Clock;
  readonly spawn: Spawn;
  readonly log: Pick<Log, 'warn'>;
  /** Read-only disks and image archives. */
  readonly caches: readonly string[];
  /** Working directories of jobs. None of them is kept when the agent starts again. */
  readonly work: string;
  /** Allocated bytes of all caches above which files are removed, those that were not used for the longest time first. */
  readonly cacheBytes: number;
}

/** A file that was used within this time, in ms, is kept: a job may be about to use it. */
const keepMs = 600_000;

/**
 * Removes what a crashed agent has left: working directories of jobs, and unfinished files in the caches. An agent calls this
 * before its first job. What cannot be removed is logged, and stays. Resolves with the number of removed paths.
 */
export async function sweepWork({ work, caches, spawn, log }: JanitorDeps): Promise<number> {
  const unfinished = async (directory: string) =>
    (await readdir(directory)).filter((name) => /^\.disk-|^files-|\.partial$/.test(name));
  const paths = (await readdir(work)).map((name) => join(work, name));
  for (const cache of caches) paths.push(...(await unfinished(cache)).map((name) => join(cache, name)));
  let removed = 0;
  for (const path of paths) {
    if (await removeTree(spawn, path)) removed += 1;
    else log.warn({ path }, 'something that an earlier agent left could not be removed');
  }
  return removed;
}

/**
 * Removes the files that were not used for the longest time until the caches are below `cacheBytes`. A running VM has its disks
 * open and does not lose them. Resolves with the number of removed files.
 */
export async function trimCaches({ clock, caches, cacheBytes, log }: JanitorDeps): Promise<number> {
  const files: { path: string; bytes: number; used: number }[] = [];
  for (const cache of caches) {
    for (const name of await readdir(cache)) {
      const path = join(cache, name);
      const is = await lstat(path).catch(() => null);
      // Disks may be sparse, so their allocated blocks count.
      if (is?.isFile()) files.push({ path, bytes: is.blocks * 512, used: is.mtimeMs });
    }
  }
  let total = files.reduce((sum, file) => sum + file.bytes, 0);
  let removed = 0;
  for (const file of files.sort((a, b) => a.used - b.used)) {
    if (total <= cacheBytes || clock.now() - file.used < keepMs) break;
    const error = await rm(file.path, { force: true }).catch((reason: unknown) => factsOf(reason));
    if (error) {
      log.warn({ path: file.path, error }, 'a file of the caches could not be removed');
      continue;
    }
    total -= file.bytes;
    removed += 1;
  }
  return removed;
}
