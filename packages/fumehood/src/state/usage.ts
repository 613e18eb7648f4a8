import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Bytes that a file or a directory with everything below it takes on the disk; 0 when it is not there, as things may be that
 * a job removes meanwhile. A file of several names (`seen`) counts once.
 */
export async function allocatedBytes(path: string, seen: Set<string> = new Set()): Promise<number> {
  const is = await lstat(path).catch(() => null);
  const name = `${is?.dev}:${is?.ino}`;
  if (!is || seen.has(name)) return 0;
  if (!is.isDirectory()) {
    if (is.nlink > 1) seen.add(name);
    return is.blocks * 512;
  }
  let bytes = is.blocks * 512;
  for (const entry of await readdir(path).catch(() => []))
    bytes += await allocatedBytes(join(path, entry), seen);
  return bytes;
}

/** `1.5 GiB`. */
export function inWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const exponent = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${(bytes / 2 ** (10 * exponent)).toFixed(exponent === 0 ? 0 : 1)} ${units[exponent]}`;
}
