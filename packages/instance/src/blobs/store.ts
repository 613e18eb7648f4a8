import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sync } from '../durable.ts';
import { blobDigestWrong, blobNotFound, blobTooBig } from '../errors.ts';

/** Stores files by the digest of their bytes. A blob that the store has is whole and synced. */
export interface BlobStore {
  readonly has: (digest: string) => Promise<boolean>;
  /** Returns the size in bytes. Errors: `blob_not_found`. */
  size(digest: string): Promise<number>;
  read(digest: string): Readable;
  /** Stores a blob; returns false when the store had it. Errors: `digest_mismatch`, `blob_too_big`. */
  write(digest: string, bytes: Readable): Promise<boolean>;
}

/** Largest blob, in bytes. */
const maxBlobBytes = 16 * 2 ** 30;

/** Opens the store in a directory, and removes half-written files of an earlier process. */
export async function openBlobStore(directory: string): Promise<BlobStore> {
  const blobs = join(directory, 'sha256');
  const staging = join(directory, 'staging');
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  await mkdir(staging, { recursive: true, mode: 0o700 });
  await sync(directory);
  for (const name of await readdir(staging)) await rm(join(staging, name), { force: true });

  const fileOf = (digest: string) => join(blobs, digest.replace(/^sha256:/, ''));
  const sizeOf = (digest: string) =>
    stat(fileOf(digest)).then(
      (found) => found.size,
      () => null,
    );
  /** Also syncs the directory: another writer may have renamed the blob into it and not synced it yet. */
  const has = async (digest: string) => {
    if ((await sizeOf(digest)) === null) return false;
    await sync(blobs);
    return true;
  };
  return {
    has,
    async size(digest) {
      const size = await sizeOf(digest);
      if (size === null) throw blobNotFound(digest);
      return size;
    },
    read: (digest) => createReadStream(fileOf(digest)),
    async write(digest, bytes) {
      if (await has(digest)) {
        bytes.resume(); // the client reads the answer after it has sent everything
        return false;
      }
      const staged = join(staging, randomUUID());
      try {
        const actual = await writeHashed(bytes, staged);
        if (actual !== digest) throw blobDigestWrong(digest, actual);
        await rename(staged, fileOf(digest));
        await sync(blobs);
      } finally {
        await rm(staged, { force: true });
      }
      return true;
    },
  };
}

/** Writes a stream to a file and syncs it; returns the digest of its bytes. Errors: `blob_too_big`. */
async function writeHashed(bytes: Readable, file: string): Promise<string> {
  const hash = createHash('sha256');
  let size = 0;
  await pipeline(
    bytes,
    async function* (source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        size += chunk.length;
        if (size > maxBlobBytes) throw blobTooBig(maxBlobBytes);
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(file, { mode: 0o600, flush: true }),
  );
  return `sha256:${hash.digest('hex')}`;
}
