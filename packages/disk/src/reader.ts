import { blockSize, type TarEntry } from './entry.ts';
import { tarInvalid, tarTooBig } from './errors.ts';
import {
  type Extensions,
  entryOf,
  numberOf,
  readRecords,
  shownName,
  untilNul,
  verifyChecksum,
} from './header.ts';
import { diskSize, extensionMax, extensionsMax, membersMax } from './limits.ts';
import { type ByteSource, byteSource } from './source.ts';
import { readSparseMap, type SparseMap, sparseForm, withHoles } from './sparse.ts';

/** Limits of a tar stream. */
export interface TarLimits {
  /** Most members. Default: `membersMax`. */
  readonly maxEntries?: number;
  /** Sum of all bodies, bytes. Default: `diskSize`. */
  readonly maxBytes?: number;
  /** Sum of all extension headers, bytes. Default: `extensionsMax`. */
  readonly maxExtensionBytes?: number;
}

/** A member that was read. */
export type ReadEntry = TarEntry & {
  /** The body. The reader skips what the caller does not read. */
  readonly body: AsyncIterable<Buffer>;
  /** Offset of the body in the archive, bytes; null for a sparse file, whose body is not there in one piece. */
  readonly bodyOffset: number | null;
  /** Bytes of the body that are not in the archive: the zeros of a sparse file. */
  readonly holes: number;
};

/**
 * Reads a tar stream (ustar, pax, GNU long names, sparse files) member by member, and closes it at its end or when the caller stops reading.
 * Errors: `tar_invalid`, `tar_too_big`.
 */
export async function* readTar(
  stream: AsyncIterable<Uint8Array>,
  limits: TarLimits = {},
): AsyncGenerator<ReadEntry> {
  const source = byteSource(stream);
  try {
    yield* readMembers(source, limits);
  } finally {
    await source.close();
  }
}

async function* readMembers(source: ByteSource, limits: TarLimits): AsyncGenerator<ReadEntry> {
  const maxEntries = limits.maxEntries ?? membersMax;
  const maxBytes = limits.maxBytes ?? diskSize;
  const maxExtensionBytes = limits.maxExtensionBytes ?? extensionsMax;
  let extensions: Extensions = { total: 0, records: new Map() };
  let position = 0;
  let entries = 0;
  let bytes = 0;
  let extensionBytes = 0;
  for (;;) {
    const header = await source.take(blockSize);
    if (!header || isZero(header)) {
      if (extensions.records.size > 0 || extensions.longName || extensions.longLink)
        throw tarInvalid('it ends between an extension header and its member');
      if (header && !isZero((await source.take(blockSize)) ?? zeroBlock))
        throw tarInvalid('it goes on after a block of zeros, which is its end');
      return;
    }
    position += blockSize;
    const type = header.toString('latin1', 156, 157);
    verifyChecksum(header);
    if ('xgLK'.includes(type)) {
      // A pax record `size` would apply to the member, not to this header.
      const size = numberOf(header, 124, 12, 'the size of an extension header');
      extensions.total += blockSize + size;
      extensionBytes += blockSize + size;
      if (extensions.total > extensionMax)
        throw tarTooBig(`a member has extension headers of more than ${extensionMax} bytes`);
      if (extensionBytes > maxExtensionBytes)
        throw tarTooBig(`it has extension headers of more than ${maxExtensionBytes} bytes`);
      const text = (await takePadded(source, size)).toString('latin1');
      position += padded(size);
      if (type === 'x') readRecords(text, extensions.records);
      else if (type === 'L') extensions.longName = untilNul(text);
      else if (type === 'K') extensions.longLink = untilNul(text);
      continue;
    }
    const plain = entryOf(header, type, extensions);
    const { size: stored } = plain;
    const sparse = plain.type === 'file' ? await sparseMapOf(source, header, plain, extensions) : null;
    extensions = { total: 0, records: new Map() };
    const entry = sparse ? { ...plain, size: sparse.size } : plain;
    entries += 1;
    bytes += entry.size;
    if (entries > maxEntries) throw tarTooBig(`it has more than ${maxEntries} members`);
    if (bytes > maxBytes) throw tarTooBig(`it has more than ${maxBytes} bytes`);
    if (sparse) extensionBytes += sparse.mapBytes;
    if (extensionBytes > maxExtensionBytes)
      throw tarTooBig(`it has extension headers of more than ${maxExtensionBytes} bytes`);
    position += sparse?.mapBytes ?? 0;
    const inBody = sparse?.mapInBody ? sparse.mapBytes : 0;
    let left = stored - inBody;
    const next = async function* (length: number) {
      for (let rest = length; rest > 0 && left > 0; ) {
        const chunk = await source.some(Math.min(rest, left));
        rest -= chunk.length;
        left -= chunk.length;
        yield chunk;
      }
    };
    const body = sparse ? withHoles(sparse, next) : next(left);
    yield {
      ...entry,
      body,
      bodyOffset: sparse ? null : position,
      holes: sparse ? sparse.size - left : 0,
    };
    for await (const _rest of next(left));
    if (!(await source.take(padded(stored) - stored))) throw tarInvalid('it ends in the middle');
    position += padded(stored) - inBody;
  }
}

/** Reads the map of a sparse file, or returns null for a plain one. Errors: `tar_invalid`, `tar_too_big`. */
async function sparseMapOf(
  source: ByteSource,
  header: Buffer,
  { path, size: stored }: TarEntry,
  { records }: Extensions,
): Promise<(SparseMap & { readonly mapBytes: number; readonly mapInBody: boolean }) | null> {
  const name = shownName(path);
  const form = sparseForm(header.toString('latin1', 156, 157), records, name);
  if (!form) return null;
  const take = () => takePadded(source, blockSize);
  const { blocks, ...map } = await readSparseMap(form, { header, records, name, stored }, take);
  return { ...map, mapBytes: blocks * blockSize, mapInBody: form === 'body' };
}

const zeroBlock = Buffer.alloc(blockSize);

function isZero(block: Buffer): boolean {
  return block.equals(zeroBlock);
}

function padded(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

async function takePadded(source: ByteSource, size: number): Promise<Buffer> {
  const block = await source.take(padded(size));
  if (!block && size > 0) throw tarInvalid('it ends in the middle');
  return (block ?? Buffer.alloc(0)).subarray(0, size);
}
