import { createHash } from 'node:crypto';
import { isCheckedOut, type SparseDirectories } from './sparse-checkout.ts';
import type { TreeEntry } from './commit-tree.ts';

/** The modification time of every file of a commit, in seconds since 1970. It is fixed, so that equal contents give equal disks. */
export const fixedMtime = 1_000_000_000;

const modes: Readonly<Record<TreeEntry['type'], number>> = {
  file: 0o100644,
  executable: 0o100755,
  symlink: 0o120000,
  submodule: 0o160000,
};

/** The bit of an entry's flags that announces extended flags. */
const extended = 0x4000;
/** The extended flag of a file that is not in the worktree. */
const skipWorktree = 0x4000;

/**
 * Returns the git index that a checkout would have written, made from the tree alone. The version is 3 for a sparse checkout,
 * because only that has the flag for files outside of the worktree, and 2 otherwise. The stat data match the files on the disk as
 * far as `core.checkStat=minimal` compares them (time and size), so `git status` opens no file.
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
  // The path is followed by 1 to 8 NULs, so that the length of the entry is a multiple of eight.
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
