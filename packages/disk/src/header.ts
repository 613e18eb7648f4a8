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

/** Returns the bytes of a name as errors show them. */
export function shownName(name: string): string {
  return JSON.stringify(Buffer.from(name.slice(0, 200), 'latin1').toString('utf8'));
}

function textOf(header: Buffer, start: number, length: number): string {
  return untilNul(header.toString('latin1', start, start + length));
}

/**
 * Reads a number of a header: octal digits, or GNU's base-256 form (two's complement) for larger and negative numbers. It may be too
 * large to be exact. `what` says which number it is, for errors. Errors: `tar_invalid`.
 */
function looseNumberOf(header: Buffer, start: number, length: number, what: string): number {
  const first = header[start] ?? 0;
  if (first >= 0x80) {
    let value = (first & 0x3f) - (first & 0x40);
    for (let i = start + 1; i < start + length; i++) value = value * 256 + (header[i] ?? 0);
    return value;
  }
  const text = textOf(header, start, length).trim();
  if (!/^[0-7]*$/.test(text)) throw tarInvalid(`${what} is ${JSON.stringify(text)}, which is not octal`);
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** Reads a number that is not negative and exact. Errors: `tar_invalid`. */
export function numberOf(header: Buffer, start: number, length: number, what: string): number {
  return checked(looseNumberOf(header, start, length, what), what);
}

function checked(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw tarInvalid(`${what} is ${value}, which is out of range`);
  return value;
}

/** Checks the checksum of a header. Old programs have added up signed bytes. Errors: `tar_invalid`. */
export function verifyChecksum(header: Buffer): void {
  let sum = 0;
  let signed = 0;
  for (let i = 0; i < blockSize; i++) {
    const byte = i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
    sum += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stated = numberOf(header, 148, 8, 'the checksum of a header');
  if (stated !== sum && stated !== signed) throw tarInvalid('a header has a wrong checksum');
}

/** Returns a pax record that is a number, without its fraction. It may be negative, or too large to be exact. */
function recordNumber({ records }: Extensions, key: string, what: string): number | undefined {
  const text = records.get(key);
  if (text === undefined) return undefined;
  if (!/^-?\d+(\.\d*)?$/.test(text))
    throw tarInvalid(`${what} is ${JSON.stringify(text.slice(0, 40))}, which is no number`);
  return Math.floor(Number(text));
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
    addRecord(into, text.slice(blank + 1, equals), text.slice(equals + 1, end - 1));
    at = end;
  }
}

function addRecord(into: Map<string, string>, key: string, value: string): void {
  if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
    // The sparse format 0.0 repeats these two. They become the one list that the format 0.1 has.
    const map = into.get('GNU.sparse.map');
    into.set('GNU.sparse.map', map === undefined ? value : `${map},${value}`);
  } else if (value === '' && !key.startsWith('SCHILY.xattr.')) into.delete(key);
  else into.set(key, value); // an empty value stands for none, except for that of an attribute
}

/** Returns the name of a member as it is in the archive, and errors show it. */
export function rawNameOf(header: Buffer, { records, longName }: Extensions): string {
  const magic = header.toString('latin1', 257, 263);
  // GNU's own format, whose magic is `ustar` and a blank, has times in place of the prefix. That of star has a shorter prefix.
  const length = header.toString('latin1', 508, 512) === 'tar\0' ? 131 : 155;
  const prefix = magic === 'ustar\0' ? textOf(header, 345, length) : '';
  const name = textOf(header, 0, 100);
  return (
    records.get('GNU.sparse.name') ?? records.get('path') ?? longName ?? (prefix ? `${prefix}/${name}` : name)
  );
}

/**
 * Returns the member of a header and its extension headers. An owner may be negative. A time before 1970, which some programs write,
 * becomes 0: no content depends on it. Errors: `tar_invalid`.
 */
export function entryOf(header: Buffer, flag: string, extensions: Extensions): TarEntry {
  const { records } = extensions;
  const raw = rawNameOf(header, extensions);
  const shown = shownName(raw);
  const type = flag === 'S' ? 'file' : tarTypes[flag];
  if (!type) throw tarInvalid(`${shown} has the unknown type ${JSON.stringify(flag)}`);
  const number = (key: string, start: number, length: number, what: string) => {
    const named = `${what} of ${shown}`;
    return recordNumber(extensions, key, named) ?? looseNumberOf(header, start, length, named);
  };
  const linkTarget = records.get('linkpath') ?? extensions.longLink ?? textOf(header, 157, 100);
  const size = type === 'file' ? checked(number('size', 124, 12, 'the size'), `the size of ${shown}`) : 0;
  // Old archives mark a directory only by a slash at the end of its name.
  const isOldDirectory = type === 'file' && raw.endsWith('/');
  if (isOldDirectory && size > 0) throw tarInvalid(`${shown} is a directory, but has a body`);
  const xattrs: Record<string, string> = {};
  for (const [key, value] of records) if (key.startsWith('SCHILY.xattr.')) xattrs[key.slice(13)] = value;
  const mtime = number('mtime', 136, 12, 'the time');
  return {
    path: raw.replace(/\/+$/, ''),
    type: isOldDirectory ? 'directory' : type,
    size,
    mode: numberOf(header, 100, 8, `the mode of ${shown}`) & 0o7777,
    uid: number('uid', 108, 8, 'the owner'),
    gid: number('gid', 116, 8, 'the group'),
    mtime: Math.min(Math.max(mtime, 0), Number.MAX_SAFE_INTEGER),
    ...((type === 'symlink' || type === 'hardlink') && { linkTarget }),
    ...((type === 'character' || type === 'block') && {
      device: [
        numberOf(header, 329, 8, `the device of ${shown}`),
        numberOf(header, 337, 8, `the device of ${shown}`),
      ] as const,
    }),
    ...(Object.keys(xattrs).length > 0 && { xattrs }),
  };
}
