import { blockSize, type TarEntry } from './entry.ts';
import { tarInvalid, tarTooBig } from './errors.ts';
import { type Extensions, entryOf, numberOf, readRecords, untilNul, verifyChecksum } from './header.ts';
import { diskSize, extensionMax, extensionsMax, membersMax } from './limits.ts';
import { type ByteSource, byteSource } from './source.ts';

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
  /** Offset of the body in the archive, bytes. */
  readonly bodyOffset: number;
};

/**
 * Reads a tar stream (ustar, pax, GNU long names) member by member, and closes it at its end or when the caller stops reading.
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
    if (!header || header.every((byte) => byte === 0)) {
      if (extensions.records.size > 0 || extensions.longName || extensions.longLink)
        throw tarInvalid('it ends between an extension header and its member');
      return;
    }
    position += blockSize;
    const type = header.toString('latin1', 156, 157);
    verifyChecksum(header);
    if ('xgLK'.includes(type)) {
      const size = numberOf(header, 124, 12); // a pax record `size` would apply to the member, not to this header
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
    const entry = entryOf(header, type, extensions);
    extensions = { total: 0, records: new Map() };
    entries += 1;
    bytes += entry.size;
    if (entries > maxEntries) throw tarTooBig(`it has more than ${maxEntries} members`);
    if (bytes > maxBytes) throw tarTooBig(`it has more than ${maxBytes} bytes`);
    let left = entry.size;
    const body = async function* () {
      while (left > 0) {
        const chunk = await source.some(left);
        left -= chunk.length;
        yield chunk;
      }
    };
    yield { ...entry, body: body(), bodyOffset: position };
    while (left > 0) left -= (await source.some(left)).length;
    if (!(await source.take(padded(entry.size) - entry.size))) throw tarInvalid('it ends in the middle');
    position += padded(entry.size);
  }
}

function padded(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

async function takePadded(source: ByteSource, size: number): Promise<Buffer> {
  const block = await source.take(padded(size));
  if (!block && size > 0) throw tarInvalid('it ends in the middle');
  return (block ?? Buffer.alloc(0)).subarray(0, size);
}
