import type { FileHandle } from 'node:fs/promises';
import { vmRefused } from '../errors.ts';

/** What a search found. */
export interface SearchResult {
  readonly searchedBytes: number;
  /** How often each needle occurs, in the order in which they were given. */
  readonly found: number[];
}

const chunkBytes = 4 * 2 ** 20;

/**
 * Counts the needles in a file that may be large and sparse. Chunks overlap, so that a needle at a border is found. Errors:
 * `vm_refused` for an empty needle, which would match without end.
 */
export async function searchFile(file: FileHandle, needles: readonly Buffer[]): Promise<SearchResult> {
  if (needles.some((needle) => needle.length === 0)) throw vmRefused('a search has an empty needle');
  const overlap = Math.max(0, ...needles.map((needle) => needle.length - 1));
  const buffer = Buffer.alloc(overlap + chunkBytes);
  // Most of a guest's memory and disk was never written. Comparing with zeros is ten times as fast as searching for the needles.
  const blank = Buffer.alloc(chunkBytes);
  const found = needles.map(() => 0);
  const skipsBlank = needles.every((needle) => !needle.includes(0));
  let carried = 0;
  let position = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, carried, chunkBytes, position);
    if (bytesRead === 0) return { searchedBytes: position, found };
    position += bytesRead;
    const fresh = buffer.subarray(carried, carried + bytesRead);
    if (skipsBlank && bytesRead === chunkBytes && fresh.equals(blank)) {
      carried = 0; // no needle overlaps a chunk of zeros
      continue;
    }
    const seen = buffer.subarray(0, carried + bytesRead);
    needles.forEach((needle, index) => {
      // An occurrence that lies entirely in the carried bytes was counted with the previous chunk.
      const from = Math.max(0, carried - needle.length + 1);
      for (let at = seen.indexOf(needle, from); at >= 0; at = seen.indexOf(needle, at + 1))
        found[index] = (found[index] ?? 0) + 1;
    });
    carried = Math.min(overlap, seen.length);
    seen.copy(buffer, 0, seen.length - carried);
  }
}
