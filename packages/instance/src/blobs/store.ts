import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sync } from '../durable.ts';
import { blobDigestWrong, blobNotFound, blobTooBig } from '../errors.ts';

/** Files by the digest of their bytes, on a disk. A blob that is there is whole and synced. */
export interface BlobStore {
  readonly has: (digest: string) => Promise<boolean>;
  /** Its size in bytes. Errors: `blob_not_found`. */
  size(digest: string): Promise<number>;
  read(digest: string): Readable;
  /** False when it was there already. Errors: `digest_mismatch`, `blob_too_big`. */
  write(digest: string, bytes: Readable): Promise<boolean>;
}

const maxBlobBytes = 16 * 2 ** 30;

/** The store in a directory; what an earlier process left half written is removed. */
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
  /** Whether it is there to stay: another writer may have renamed it just now and not have synced it yet. */
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
        bytes.resume(); // the sender is told when it has sent all
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

/** Writes a stream to a file, synced; the digest of its bytes. */
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
