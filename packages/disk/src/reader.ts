import { blockSize, type TarEntry, tarTypes } from './entry.ts';
import { tarInvalid, tarTooBig } from './errors.ts';
import { type ByteSource, byteSource } from './source.ts';

/** Limits of a tar stream. */
export interface TarLimits {
  /** Most members. Default 2,000,000. */
  readonly maxEntries?: number;
  /** Sum of all bodies and extension headers, bytes. Default 64 GiB. */
  readonly maxBytes?: number;
}

/** A member that was read. */
export type ReadEntry = TarEntry & {
  /** The body. The reader skips what the caller does not read. */
  readonly body: AsyncIterable<Buffer>;
  /** Offset of the body in the archive, bytes. */
  readonly bodyOffset: number;
};

/** Largest size of a member's extension headers together, bytes: far more than any path needs, and little memory. */
const extensionMax = 1 << 20;

/** The extension headers of the next member. */
interface Extensions {
  /** Bytes of the headers so far. */
  total: number;
  readonly records: Map<string, string>;
  longName?: string;
  longLink?: string;
}

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
  const maxEntries = limits.maxEntries ?? 2_000_000;
  const maxBytes = limits.maxBytes ?? 64 * 2 ** 30;
  let extensions: Extensions = { total: 0, records: new Map() };
  let position = 0;
  let entries = 0;
  let bytes = 0;
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
      bytes += size;
      if (extensions.total > extensionMax)
        throw tarTooBig('a member has extension headers of more than 1 MiB');
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

function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function textOf(header: Buffer, start: number, length: number): string {
  return untilNul(header.toString('latin1', start, start + length));
}

/** Reads a number: octal digits, or GNU's base-256 form for larger numbers. */
function numberOf(header: Buffer, start: number, length: number): number {
  const first = header[start] ?? 0;
  if (first === 0x80) {
    let value = 0;
    for (let i = start + 1; i < start + length; i++) value = value * 256 + (header[i] ?? 0);
    if (!Number.isSafeInteger(value)) throw tarInvalid('a number in a header is too large');
    return value;
  }
  const text = textOf(header, start, length).trim();
  if (!/^[0-7]*$/.test(text)) throw tarInvalid('a number in a header is not octal');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

function verifyChecksum(header: Buffer): void {
  let sum = 0;
  for (let i = 0; i < blockSize; i++) sum += i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
  if (sum !== numberOf(header, 148, 8)) throw tarInvalid('a header has a wrong checksum');
}

function recordNumber(extensions: Extensions, name: string): number | undefined {
  const text = extensions.records.get(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || !Number.isSafeInteger(Math.floor(value)))
    throw tarInvalid(`the pax record ${name} is not a number`);
  return Math.floor(value);
}

/** Returns the time of a member. Times before 1970, which some tar programs write, become 0: no content depends on them. */
function timeOf(header: Buffer, extensions: Extensions): number {
  const negative = extensions.records.get('mtime')?.startsWith('-') ?? header[136] === 0xff;
  return negative ? 0 : (recordNumber(extensions, 'mtime') ?? numberOf(header, 136, 12));
}

/** Parses pax records: `<length> <key>=<value>\n`, where the length includes itself. */
function readRecords(text: string, into: Map<string, string>): void {
  for (let at = 0; at < text.length; ) {
    const blank = text.indexOf(' ', at);
    const length = Number(text.slice(at, blank));
    const equals = text.indexOf('=', blank);
    const end = at + length;
    if (
      blank < 0 ||
      blank - at > 10 ||
      !Number.isInteger(length) ||
      end > text.length ||
      equals < blank ||
      equals >= end
    ) {
      throw tarInvalid('a pax header is damaged');
    }
    if (text[end - 1] !== '\n') throw tarInvalid('a pax header is damaged');
    into.set(text.slice(blank + 1, equals), text.slice(equals + 1, end - 1));
    at = end;
  }
}

function entryOf(header: Buffer, flag: string, extensions: Extensions): TarEntry {
  const type = tarTypes[flag];
  const { records } = extensions;
  if (!type) throw tarInvalid(`a member has the unknown type ${JSON.stringify(flag)}`);
  if ([...records.keys()].some((key) => key.startsWith('GNU.sparse.')))
    throw tarInvalid('a member is a sparse file');
  // GNU's own format, whose magic is `ustar` and a blank, has times in place of the prefix.
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? textOf(header, 345, 155) : '';
  const name = textOf(header, 0, 100);
  const raw = records.get('path') ?? extensions.longName ?? (prefix ? `${prefix}/${name}` : name);
  const linkTarget = records.get('linkpath') ?? extensions.longLink ?? textOf(header, 157, 100);
  const size = type === 'file' ? (recordNumber(extensions, 'size') ?? numberOf(header, 124, 12)) : 0;
  // Old archives mark a directory only by a slash at the end of its name.
  const isOldDirectory = type === 'file' && raw.endsWith('/');
  if (isOldDirectory && size > 0) throw tarInvalid('a directory has a body');
  const xattrs: Record<string, string> = {};
  for (const [key, value] of records) if (key.startsWith('SCHILY.xattr.')) xattrs[key.slice(13)] = value;
  return {
    path: raw.replace(/\/+$/, ''),
    type: isOldDirectory ? 'directory' : type,
    size,
    mode: numberOf(header, 100, 8) & 0o7777,
    uid: recordNumber(extensions, 'uid') ?? numberOf(header, 108, 8),
    gid: recordNumber(extensions, 'gid') ?? numberOf(header, 116, 8),
    mtime: timeOf(header, extensions),
    ...((type === 'symlink' || type === 'hardlink') && { linkTarget }),
    ...(Object.keys(xattrs).length > 0 && { xattrs }),
  };
}
