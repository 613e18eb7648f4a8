import { blockSize, type TarEntry, tarTypes } from './entry.ts';
import { timeMax } from './limits.ts';

/** The type flag that is written for each type: of several the first. */
const flags: Record<string, string> = {};
for (const [letter, type] of Object.entries(tarTypes)) flags[type] ??= letter;

/** Returns a member's header, preceded by a pax header for values that do not fit into ustar. The caller writes the body and `tarPadding` after it. */
export function tarHeader(entry: TarEntry): Buffer {
  const records = recordsFor(entry);
  const header = ustar(entry, flags[entry.type] as string, entry.type === 'file' ? entry.size : 0);
  if (records.length === 0) return header;
  const body = Buffer.from(records.map(record).join(''), 'latin1');
  const extension = ustar({ ...entry, path: 'pax', linkTarget: '', mode: 0o644 }, 'x', body.length);
  return Buffer.concat([extension, body, tarPadding(body.length), header]);
}

/** Returns the zeros that fill a body of `size` bytes up to a whole block. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((blockSize - (size % blockSize)) % blockSize);
}

/** Returns the end of an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * blockSize);
}

function recordsFor(entry: TarEntry): [string, string][] {
  const records: [string, string][] = [];
  if (entry.path.length > 99) records.push(['path', entry.path]);
  if ((entry.linkTarget ?? '').length > 99) records.push(['linkpath', entry.linkTarget as string]);
  if (entry.size > 0o77777777777) records.push(['size', String(entry.size)]);
  if (entry.uid > 0o7777777) records.push(['uid', String(entry.uid)]);
  if (entry.gid > 0o7777777) records.push(['gid', String(entry.gid)]);
  for (const [name, value] of Object.entries(entry.xattrs ?? {}))
    records.push([`SCHILY.xattr.${name}`, value]);
  return records;
}

/** Returns a pax record. Its length includes the digits of the length itself. */
function record([key, value]: [string, string]): string {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function ustar(entry: TarEntry, flag: string, size: number): Buffer {
  const header = Buffer.alloc(blockSize);
  const octal = (value: number, at: number, length: number) => {
    const largest = 8 ** (length - 1) - 1;
    header.write(
      Math.min(Math.max(value, 0), largest)
        .toString(8)
        .padStart(length - 1, '0'),
      at,
      'latin1',
    );
  };
  const name = entry.type === 'directory' && flag === '5' ? `${entry.path}/` : entry.path;
  header.write(name.slice(0, 100), 0, 'latin1');
  octal(entry.mode, 100, 8);
  octal(entry.uid, 108, 8);
  octal(entry.gid, 116, 8);
  octal(size, 124, 12);
  octal(Math.min(Math.floor(entry.mtime), timeMax), 136, 12);
  header.fill(' ', 148, 156);
  header.write(flag, 156, 'latin1');
  header.write((entry.linkTarget ?? '').slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  const [major, minor] = entry.device ?? [0, 0];
  octal(major, 329, 8);
  octal(minor, 337, 8);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
