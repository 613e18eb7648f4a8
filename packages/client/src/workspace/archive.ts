import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import { directoryInvalid, fileChanged } from '../errors.ts';
import { type DirectoryEntry, listDirectory, placeOf } from './list.ts';

/** A directory as a tar archive, which is read anew each time and stored nowhere. */
export interface DirectoryArchive {
  /** `sha256:` and the hash of the archive. */
  readonly digest: string;
  /** Bytes of the archive. */
  readonly size: number;
  readonly entries: number;
  /** Paths that are left out because they are no files: sockets, devices and named pipes. */
  readonly skipped: readonly string[];
  /** Returns the archive. Errors of the stream: `file_changed`, and those of the file system. */
  open(): Readable;
}

const chunkBytes = 1 << 20;

/**
 * Reads a directory once, for the digest of its archive. Links are kept and never followed, and what git keeps for itself (`.git`) is
 * left out; `only` is as in `listDirectory`. Errors: `directory_invalid`, `file_changed`, and those of the file system.
 */
export async function archiveDirectory(root: string, only?: ReadonlySet<string>): Promise<DirectoryArchive> {
  const stats = await stat(root).catch((error: Error) => {
    throw directoryInvalid(root, error.message);
  });
  if (!stats.isDirectory()) throw directoryInvalid(root, 'it is not a directory');
  const { entries, skipped } = await listDirectory(root, only);
  const hash = createHash('sha256');
  let size = 0;
  for await (const part of tarOf(root, entries)) {
    hash.update(part);
    size += part.length;
  }
  return {
    digest: `sha256:${hash.digest('hex')}`,
    size,
    entries: entries.length,
    skipped,
    open: () => Readable.from(tarOf(root, entries), { objectMode: false }),
  };
}

async function* tarOf(root: string, entries: readonly DirectoryEntry[]): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    const { path, type, size, linkTarget, isExecutable, mtimeMs } = entry;
    const mode = type === 'file' && !isExecutable ? 0o644 : 0o755;
    const mtime = Math.max(0, Math.floor(mtimeMs / 1000));
    const target = linkTarget === undefined ? {} : { linkTarget };
    yield tarHeader({ path, type, size, mode, uid: 0, gid: 0, mtime, ...target });
    if (type !== 'file') continue;
    yield* contentOf(root, entry);
    yield tarPadding(size);
  }
  yield tarEnd();
}

/** Yields the bytes of a file that is still the listed one. Errors: `file_changed`. */
async function* contentOf(
  root: string,
  { path, size, mtimeMs, inode }: DirectoryEntry,
): AsyncGenerator<Buffer> {
  const changed = () => fileChanged(Buffer.from(path, 'latin1').toString());
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(placeOf(root, path), flags).catch((error: NodeJS.ErrnoException) => {
    throw ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.code ?? '') ? changed() : error;
  });
  try {
    const check = async () => {
      const now = await file.stat();
      if (now.size !== size || now.mtimeMs !== mtimeMs || now.ino !== inode) throw changed();
    };
    await check();
    for (let left = size; left > 0; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(left, chunkBytes)), 0);
      if (bytesRead === 0) throw changed();
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    await check();
  } finally {
    await file.close();
  }
}
