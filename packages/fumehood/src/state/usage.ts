import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Returns how many bytes a file, or a directory with everything below it, takes on the disk. A missing path is 0: a job may remove
 * files meanwhile. A file with several hard links counts once; `seen` remembers such files.
 */
export async function allocatedBytes(path: string, seen: Set<string> = new Set()): Promise<number> {
  const stats = await lstat(path).catch(() => null);
  const name = `${stats?.dev}:${stats?.ino}`;
  if (!stats || seen.has(name)) return 0;
  if (!stats.isDirectory()) {
    if (stats.nlink > 1) seen.add(name);
    return stats.blocks * 512;
  }
  let bytes = stats.blocks * 512;
  for (const entry of await readdir(path).catch(() => []))
    bytes += await allocatedBytes(join(path, entry), seen);
  return bytes;
}

/** Formats a number of bytes for people: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const exponent = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${(bytes / 2 ** (10 * exponent)).toFixed(exponent === 0 ? 0 : 1)} ${units[exponent]}`;
}
