import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';

export interface JanitorDeps {
  readonly clock: Clock;
  /** Read-only disks and image archives. */
  readonly caches: readonly string[];
  /** Where jobs work; nothing in it outlives the agent. */
  readonly work: string;
  /** Allocated bytes above which the longest unused of the caches go. */
  readonly cacheBytes: number;
}

/** Younger than this a file may be about to be used. */
const restMs = 600_000;

/** What a crash left of jobs, of the files that they brought, and half-made ones; for an agent that starts, before its first job. */
export async function sweepWork({ work, caches }: JanitorDeps): Promise<number> {
  const unfinished = async (directory: string) =>
    (await readdir(directory)).filter((name) => /^\.disk-|^files-|\.partial$/.test(name));
  const paths = (await readdir(work)).map((name) => join(work, name));
  for (const cache of caches) paths.push(...(await unfinished(cache)).map((name) => join(cache, name)));
  for (const path of paths) await rm(path, { recursive: true, force: true });
  return paths.length;
}

/** Brings the caches below their bound, the longest unused first. A running VM keeps its disks: they are open. */
export async function trimCaches({ clock, caches, cacheBytes }: JanitorDeps): Promise<number> {
  const files: { path: string; bytes: number; used: number }[] = [];
  for (const cache of caches) {
    for (const name of await readdir(cache)) {
      const path = join(cache, name);
      const is = await stat(path).catch(() => null);
      // Disks are sparse: what they take is what they have allocated.
      if (is?.isFile()) files.push({ path, bytes: is.blocks * 512, used: is.mtimeMs });
    }
  }
  let total = files.reduce((sum, file) => sum + file.bytes, 0);
  let removed = 0;
  for (const file of files.sort((a, b) => a.used - b.used)) {
    if (total <= cacheBytes || clock.now() - file.used < restMs) break;
    await rm(file.path, { force: true });
    total -= file.bytes;
    removed += 1;
  }
  return removed;
}
