import { createHash } from 'node:crypto';
import { isCheckedOut, type SparseDirectories } from './sparse-checkout.ts';
import type { TreeEntry } from './commit-tree.ts';

/** Seconds since 1970 that every file of a workspace was "last changed": the same everywhere, so that disks are equal. */
export const fixedMtime = 1_000_000_000;

const modes: Readonly<Record<TreeEntry['type'], number>> = {
  file: 0o100644,
  executable: 0o100755,
  symlink: 0o120000,
  submodule: 0o160000,
};

/** Bits of an entry, and of the further ones that the first of them announces: the file is left out of the worktree. */
const extended = 0x4000;
const skipWorktree = 0x4000;

/**
 * Git's index as a checkout would have left it, sparse or not, written from the tree alone (version 3, which knows files that
 * are left out, when there are any; else 2). Its stat data match the files on the disk as far as `core.checkStat=minimal` looks
 * (time and size), so `git status` opens none of them.
 */
export function gitIndex(entries: readonly TreeEntry[], sparse: SparseDirectories): Buffer {
  const head = Buffer.alloc(12);
  head.write('DIRC');
  head.writeUInt32BE(sparse.length > 0 ? 3 : 2, 4);
  head.writeUInt32BE(entries.length, 8);
  const body = Buffer.concat([
    head,
    ...entries.map((entry) => indexEntry(entry, isCheckedOut(entry.path, sparse))),
  ]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

function indexEntry(entry: TreeEntry, checkedOut: boolean): Buffer {
  const path = Buffer.from(entry.path, 'latin1');
  const pathAt = checkedOut ? 62 : 64;
  // At least one NUL after the path, a multiple of eight in all.
  const bytes = Buffer.alloc((pathAt + path.length + 8) & ~7);
  bytes.writeUInt32BE(fixedMtime, 0); // ctime, then mtime; nanoseconds, device, inode and owner stay 0
  bytes.writeUInt32BE(fixedMtime, 8);
  bytes.writeUInt32BE(modes[entry.type], 24);
  bytes.writeUInt32BE(entry.size % 2 ** 32, 36);
  bytes.write(entry.object, 40, 'hex');
  bytes.writeUInt16BE(Math.min(path.length, 0xfff) | (checkedOut ? 0 : extended), 60);
  if (!checkedOut) bytes.writeUInt16BE(skipWorktree, 62);
  path.copy(bytes, pathAt);
  return bytes;
}
