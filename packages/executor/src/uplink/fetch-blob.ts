import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Clock, FumehoodError } from '@fumehood/base';
import { blobDamaged, imageUnavailable, instanceUnreachable } from '../errors.ts';
import { expectStatus, reasonOf } from './http.ts';
import type { JobClient } from './job-client.ts';
import { retrying } from './retry.ts';

/** Largest blob that is taken, bytes. */
const blobMax = 32 * 2 ** 30;

/**
 * A blob of the instance as a file in the cache. The instance is asked with this job's token even if the file is there: a
 * cache grants nothing (design invariant 11). Errors: `image_not_found`, `blob_damaged`, `too_big`.
 */
export async function fetchBlob(
  client: JobClient,
  digest: string,
  directory: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, digest.replace(':', '-'));
  const cached = existsSync(file);
  const what = 'fetch an image';
  await retrying(clock, signal, async () => {
    const response = await client.open({
      method: cached ? 'HEAD' : 'GET',
      path: client.blobPath(digest),
      headers: {},
      signal,
      what,
    });
    if (response.status === 404) throw imageUnavailable(digest, 'the instance does not have it');
    if (response.status !== 200) await expectStatus(response, [200], what);
    if (!cached) await store(response, digest, file, what, signal);
  });
  const now = clock.now() / 1000;
  await utimes(file, now, now); // the janitor removes what was not used for long
  return file;
}

async function store(
  response: Response,
  digest: string,
  file: string,
  what: string,
  signal: AbortSignal,
): Promise<void> {
  const partial = `${file}.${randomUUID()}.partial`;
  const hash = createHash('sha256');
  const checked = async function* (source: AsyncIterable<Uint8Array>) {
    let size = 0;
    for await (const chunk of source) {
      size += chunk.length;
      if (size > blobMax) throw blobDamaged(digest, `it is larger than ${blobMax} bytes`);
      hash.update(chunk);
      yield chunk;
    }
  };
  try {
    if (!response.body) throw blobDamaged(digest, 'it is empty');
    const body = Readable.fromWeb(response.body);
    await pipeline(body, checked, createWriteStream(partial, { flags: 'wx', mode: 0o600 })).catch(
      (error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof FumehoodError || (error as NodeJS.ErrnoException).syscall === 'write')
          throw error;
        throw instanceUnreachable(what, reasonOf(error));
      },
    );
    if (`sha256:${hash.digest('hex')}` !== digest) throw blobDamaged(digest, 'its bytes have another digest');
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
}
