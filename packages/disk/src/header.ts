import { blockSize, type TarEntry, tarTypes } from './entry.ts';
import { tarInvalid } from './errors.ts';

/** The extension headers of the next member. */
export interface Extensions {
  /** Bytes of the headers so far. */
  total: number;
  readonly records: Map<string, string>;
  longName?: string;
  longLink?: string;
}

/** Returns a text up to its first NUL. */
export function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function textOf(header: Buffer, start: number, length: number): string {
  return untilNul(header.toString('latin1', start, start + length));
}

/** Reads a number of a header: octal digits, or GNU's base-256 form for larger numbers. Errors: `tar_invalid`. */
export function numberOf(header: Buffer, start: number, length: number): number {
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

/** Checks the checksum of a header. Errors: `tar_invalid`. */
export function verifyChecksum(header: Buffer): void {
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

/** Parses pax records into `into`: `<length> <key>=<value>\n`, where the length includes itself. Errors: `tar_invalid`. */
export function readRecords(text: string, into: Map<string, string>): void {
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

/** Returns the member of a header and its extension headers. Errors: `tar_invalid`. */
export function entryOf(header: Buffer, flag: string, extensions: Extensions): TarEntry {
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
    ...((type === 'character' || type === 'block') && {
      device: [numberOf(header, 329, 8), numberOf(header, 337, 8)] as const,
    }),
    ...(Object.keys(xattrs).length > 0 && { xattrs }),
  };
}
