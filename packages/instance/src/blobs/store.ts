import { createReadStream } from 'node:fs';
import { mkdir, rename, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { sync } from '../durable.ts';
import { blobDigestWrong, blobNotFound, blobTooBig } from '../errors.ts';
import type { StagedFile, Staging } from '../staging.ts';

/** Stores files by the digest of their bytes. A blob that the store has is whole and synced. */
export interface BlobStore {
  readonly has: (digest: string) => Promise<boolean>;
  /** Returns the size in bytes. Errors: `blob_not_found`. */
  size(digest: string): Promise<number>;
  read(digest: string): Readable;
  /** Stores a blob; returns false when the store had it. Errors: `digest_mismatch`, `blob_too_big`. */
  write(digest: string, bytes: Readable): Promise<boolean>;
  /** Stores a file that has arrived whole; returns false when the store had it. */
  readonly keep: (staged: StagedFile) => Promise<boolean>;
}

/** Largest blob, in bytes. */
const maxBlobBytes = 16 * 2 ** 30;

/** Opens the store in a directory. `staging` is on the same file system. */
export async function openBlobStore(directory: string, staging: Staging): Promise<BlobStore> {
  const blobs = join(directory, 'sha256');
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  await sync(directory);

  const fileOf = (digest: string) => join(blobs, digest.replace(/^sha256:/, ''));
  /** Whoever asks is about to use the blob: its time of modification is that of its last use (retention/files.ts). */
  const sizeOf = async (digest: string): Promise<number | null> => {
    const now = new Date();
    try {
      await utimes(fileOf(digest), now, now);
      return (await stat(fileOf(digest))).size;
    } catch {
      return null;
    }
  };
  /** Also syncs the directory: another writer may have renamed the blob into it and not synced it yet. */
  const has = async (digest: string) => {
    if ((await sizeOf(digest)) === null) return false;
    await sync(blobs);
    return true;
  };
  const keep = async ({ path, digest }: StagedFile) => {
    if (await has(digest)) return false;
    await rename(path, fileOf(digest));
    await sync(blobs);
    return true;
  };
  return {
    has,
    keep,
    async size(digest) {
      const size = await sizeOf(digest);
      if (size === null) throw blobNotFound(digest);
      return size;
    },
    read: (digest) => createReadStream(fileOf(digest)),
    async write(digest, bytes) {
      // Also when the store has the blob: the answer says that the sender has it.
      await using staged = await staging.write(bytes, maxBlobBytes, blobTooBig);
      if (staged.digest !== digest) throw blobDigestWrong(digest, staged.digest);
      return await keep(staged);
    },
  };
}
