import { createHash } from 'node:crypto';
import { isCheckedOut, type SparseDirectories } from './sparse-checkout.ts';
import type { TreeEntry } from '@fumehood/git';

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

/** A git index, made while it is read. */
export interface GitIndex {
  readonly bytes: number;
  readonly chunks: Iterable<Buffer>;
}

/**
 * Returns the git index that a checkout would have written, made from the tree alone. The version is 3 for a sparse checkout,
 * because only that has the flag for files outside of the worktree, and 2 otherwise. The stat data match the files on the disk as
 * far as `core.checkStat=minimal` compares them (time and size), so `git status` opens no file.
 */
export function gitIndex(entries: readonly TreeEntry[], sparse: SparseDirectories): GitIndex {
  const head = Buffer.alloc(12);
  head.write('DIRC');
  head.writeUInt32BE(sparse.length > 0 ? 3 : 2, 4);
  head.writeUInt32BE(entries.length, 8);
  const isIn = (entry: TreeEntry) => isCheckedOut(entry.path, sparse);
  const chunks = function* () {
    const hash = createHash('sha1').update(head);
    yield head;
    for (const entry of entries) {
      const chunk = indexEntry(entry, isIn(entry));
      hash.update(chunk);
      yield chunk;
    }
    yield hash.digest();
  };
  const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry, isIn(entry)), head.length + 20);
  return { bytes, chunks: chunks() };
}

const pathAt = (checkedOut: boolean) => (checkedOut ? 62 : 64);

/** The path is followed by 1 to 8 NULs, so that the length of the entry is a multiple of eight. */
function entryBytes({ path }: TreeEntry, checkedOut: boolean): number {
  return (pathAt(checkedOut) + path.length + 8) & ~7;
}

function indexEntry(entry: TreeEntry, checkedOut: boolean): Buffer {
  const bytes = Buffer.alloc(entryBytes(entry, checkedOut));
  bytes.writeUInt32BE(fixedMtime, 0); // ctime, then mtime; nanoseconds, device, inode and owner stay 0
  bytes.writeUInt32BE(fixedMtime, 8);
  bytes.writeUInt32BE(modes[entry.type], 24);
  bytes.writeUInt32BE(entry.size % 2 ** 32, 36);
  bytes.write(entry.object, 40, 'hex');
  bytes.writeUInt16BE(Math.min(entry.path.length, 0xfff) | (checkedOut ? 0 : extended), 60);
  if (!checkedOut) bytes.writeUInt16BE(skipWorktree, 62);
  bytes.write(entry.path, pathAt(checkedOut), 'latin1');
  return bytes;
}
