import { createHash } from 'node:crypto';
import type { TreeEntry } from './tree.ts';

/** Seconds since 1970 that every file of a workspace was "last changed": the same everywhere, so that disks are equal. */
export const fixedMtime = 1_000_000_000;

const modes: Readonly<Record<TreeEntry['type'], number>> = {
  file: 0o100644,
  executable: 0o100755,
  symlink: 0o120000,
  submodule: 0o160000,
};

/**
 * Git's index (version 2) as a checkout would have left it, written from the tree alone. Its stat data match the files on
 * the disk as far as `core.checkStat=minimal` looks (time and size), so `git status` opens none of them.
 */
export function statIndex(entries: readonly TreeEntry[]): Buffer {
  const head = Buffer.alloc(12);
  head.write('DIRC');
  head.writeUInt32BE(2, 4);
  head.writeUInt32BE(entries.length, 8);
  const body = Buffer.concat([head, ...entries.map(indexEntry)]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

function indexEntry(entry: TreeEntry): Buffer {
  const path = Buffer.from(entry.path, 'latin1');
  // 62 bytes before the path, at least one NUL after it, a multiple of eight in all.
  const bytes = Buffer.alloc((62 + path.length + 8) & ~7);
  bytes.writeUInt32BE(fixedMtime, 0); // ctime, then mtime; nanoseconds, device, inode and owner stay 0
  bytes.writeUInt32BE(fixedMtime, 8);
  bytes.writeUInt32BE(modes[entry.type], 24);
  bytes.writeUInt32BE(entry.size % 2 ** 32, 36);
  bytes.write(entry.object, 40, 'hex');
  bytes.writeUInt16BE(Math.min(path.length, 0xfff), 60);
  path.copy(bytes, 62);
  return bytes;
}
