import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Bounds } from './rows.ts';

/** A file or a directory that can be removed. `usedAt`: its time of modification, which each use sets. */
interface Entry {
  readonly path: string;
  readonly usedAt: number;
  readonly bytes: number;
}

/** Whoever has just found an entry may be about to need it, so it stays for this long, milliseconds. */
const graceMs = 3_600_000;

/**
 * Removes entries that were not used for too long, and those that were not used for the longest time while all together have too many
 * bytes. Never removes one of `needed`, nor one that was used within the hour before `now`. `staging`: a directory on the same disk,
 * into which an entry is moved first, so that nobody finds half of it. Returns how many.
 */
export async function removeUnused(
  paths: readonly string[],
  needed: ReadonlySet<string>,
  { before, maxBytes }: Bounds,
  options: { readonly staging: string; readonly now: number },
): Promise<number> {
  const entries = (await Promise.all(paths.map(read))).filter((entry) => entry !== null);
  entries.sort((a, b) => b.usedAt - a.usedAt);
  let total = 0;
  let removed = 0;
  for (const { path, usedAt, bytes } of entries) {
    total += bytes;
    const isOld = usedAt < before.getTime() || total > maxBytes;
    if (!isOld || needed.has(path) || usedAt > options.now - graceMs) continue;
    if ((await stat(path).catch(() => null))?.mtimeMs !== usedAt) continue; // somebody uses it now
    total -= bytes;
    if (await remove(path, join(options.staging, randomUUID()))) removed += 1;
  }
  return removed;
}

/** Moves an entry away and removes it. Returns false if another replica has done so. */
async function remove(path: string, moved: string): Promise<boolean> {
  try {
    await rename(path, moved);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await rm(moved, { recursive: true, force: true });
  return true;
}

async function read(path: string): Promise<Entry | null> {
  const found = await stat(path).catch(() => null);
  if (!found) return null;
  return { path, usedAt: found.mtimeMs, bytes: found.isDirectory() ? await bytesBelow(path) : found.size };
}

async function bytesBelow(directory: string): Promise<number> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map((file) =>
        stat(join(file.parentPath, file.name)).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
