import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree, type Spawn } from '@fumehood/base';
import type { Log } from '../log.ts';

/** What the janitor cleans up. */
export interface JanitorDeps {
  readonly spawn: Spawn;
  readonly log: Pick<Log, 'warn'>;
  /** The directories of the cache: read-only disks and image archives. */
  readonly caches: readonly string[];
  /** Working directories of jobs. None of them is kept when the agent starts again. */
  readonly work: string;
}

/**
 * Removes what a crashed agent has left: working directories of jobs, and files in the cache that were being made or removed. An agent calls this
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
