import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes that a file or a directory with everything below it takes on the disk; 0 when it is not there. */
export async function allocatedBytes(path: string): Promise<number> {
  const is = await lstat(path).catch(() => null);
  if (!is) return 0;
  let bytes = is.blocks * 512;
  if (is.isDirectory())
    for (const name of await readdir(path)) bytes += await allocatedBytes(join(path, name));
  return bytes;
}

/** `1.5 GiB`. */
export function inWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const exponent = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${(bytes / 2 ** (10 * exponent)).toFixed(exponent === 0 ? 0 : 1)} ${units[exponent]}`;
}
