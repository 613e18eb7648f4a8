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
  const parts = guestMappings(maps, memoryMiB * 2 ** 20);
  const memory = await open(`/proc/${pid}/mem`);
  try {
    const sum = { searchedBytes: 0, found: needles.map(() => 0) };
    for (const part of parts) {
      const { searchedBytes, found } = await searchFile(memory, needles, part);
      sum.searchedBytes += searchedBytes;
      sum.found = sum.found.map((count, index) => count + (found[index] ?? 0));
    }
    return sum;
  } finally {
    await memory.close();
  }
}

/** A part of a process's address space. */
interface Mapping {
  readonly from: number;
  readonly bytes: number;
}

/**
 * Returns where a VMM has mapped the memory of its guest, from its `/proc/PID/maps`: all of the file `guest-memory`, in one part or,
 * around the addresses of devices, in two. A VMM that makes the memory by itself does not name it, and it has other memory besides: then
 * all of that is returned. Errors: `vm_refused` when it is less than the guest has.
 */
export function guestMappings(maps: string, memoryBytes: number): Mapping[] {
  const file = mappings(maps, /^([0-9a-f]+)-([0-9a-f]+) .*\/memfd:guest-memory/gm);
  if (sizeOf(file) === memoryBytes) return file;
  const unnamed = mappings(maps, /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0 *$/gm);
  if (file.length === 0 && sizeOf(unnamed) >= memoryBytes) return unnamed;
  throw vmRefused('its VMM does not map its memory');
}

const sizeOf = (parts: readonly Mapping[]) => parts.reduce((sum, { bytes }) => sum + bytes, 0);

/** Returns the mappings whose lines match. Neighbors are one: a needle may lie in both. */
function mappings(maps: string, lines: RegExp): Mapping[] {
  const merged: { from: number; bytes: number }[] = [];
  for (const [, start = '', end = ''] of maps.matchAll(lines)) {
    const from = Number.parseInt(start, 16);
    const bytes = Number.parseInt(end, 16) - from;
    const last = merged.at(-1);
    if (last && last.from + last.bytes === from) last.bytes += bytes;
    else merged.push({ from, bytes });
  }
  return merged;
}
