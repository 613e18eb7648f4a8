import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A stream that has arrived whole, and is synced. Disposing of it removes the file, unless it was renamed. */
export interface StagedFile extends AsyncDisposable {
  readonly path: string;
  /** `sha256:` and the hash of the bytes. */
  readonly digest: string;
}

/**
 * Keeps streams in files until they are whole. What is done with them after that (a transaction, a process) never waits for their
 * senders.
 */
export interface Staging {
  /** Writes a stream of at most `maxBytes` to a file. Errors: `tooBig`, and those of the stream. */
  write(bytes: Readable, maxBytes: number, tooBig: (maxBytes: number) => Error): Promise<StagedFile>;
}

/** Opens a directory for staged files, and removes what an earlier process left there. */
export async function openStaging(directory: string): Promise<Staging> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const name of await readdir(directory)) await rm(join(directory, name), { force: true });
  return {
    async write(bytes, maxBytes, tooBig) {
      const path = join(directory, randomUUID());
      const remove = () => rm(path, { force: true });
      const hash = createHash('sha256');
      let size = 0;
      try {
        await pipeline(
          bytes,
          async function* (source: AsyncIterable<Buffer>) {
            for await (const chunk of source) {
              size += chunk.length;
              if (size > maxBytes) throw tooBig(maxBytes);
              hash.update(chunk);
              yield chunk;
            }
          },
          createWriteStream(path, { mode: 0o600, flush: true }),
        );
      } catch (error) {
        await remove();
        throw error;
      }
      return { path, digest: `sha256:${hash.digest('hex')}`, [Symbol.asyncDispose]: remove };
    },
  };
}
