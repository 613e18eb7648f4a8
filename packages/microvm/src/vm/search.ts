import { type FileHandle, open, readFile } from 'node:fs/promises';
import { vmRefused } from '../errors.ts';

/** What a search found. */
export interface SearchResult {
  readonly searchedBytes: number;
  /** How often each needle occurs, in the order in which they were given. */
  readonly found: number[];
}

const chunkBytes = 4 * 2 ** 20;

/**
 * Counts the needles in a file that may be large and sparse, or in the part of it that starts at `from`. Chunks overlap, so that a
 * needle at a border is found. Errors: `vm_refused` for an empty needle, which would match without end.
 */
export async function searchFile(
  file: FileHandle,
  needles: readonly Buffer[],
  { from = 0, bytes = Infinity }: { readonly from?: number; readonly bytes?: number } = {},
): Promise<SearchResult> {
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
    const wanted = Math.min(chunkBytes, bytes - position);
    const { bytesRead } =
      wanted > 0 ? await file.read(buffer, carried, wanted, from + position) : { bytesRead: 0 };
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
      const first = Math.max(0, carried - needle.length + 1);
      for (let at = seen.indexOf(needle, first); at >= 0; at = seen.indexOf(needle, at + 1))
        found[index] = (found[index] ?? 0) + 1;
    });
    carried = Math.min(overlap, seen.length);
    seen.copy(buffer, 0, seen.length - carried);
  }
}

/**
 * Counts the needles in the memory of a guest, as its VMM sees it: a clone has pages of its own, which its template does not have.
 * Errors: `vm_refused` when the process has not mapped this memory.
 */
export async function searchGuestMemory(
  pid: number,
  memoryMiB: number,
  needles: readonly Buffer[],
): Promise<SearchResult> {
  const maps = await readFile(`/proc/${pid}/maps`, 'latin1').catch(() => '');
  const bytes = memoryMiB * 2 ** 20;
  for (const [, start = '', end = ''] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) .*\/memfd:guest-memory/gm)) {
    const from = Number.parseInt(start, 16);
    if (Number.parseInt(end, 16) - from !== bytes) continue;
    const memory = await open(`/proc/${pid}/mem`);
    try {
      return await searchFile(memory, needles, { from, bytes });
    } finally {
      await memory.close();
    }
  }
  throw vmRefused('its VMM does not map its memory');
}
