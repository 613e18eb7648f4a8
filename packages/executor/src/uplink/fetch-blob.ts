import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Answer, type Clock, type FileCacheUse, FumehoodError } from '@fumehood/base';
import { blobDamaged, imageUnavailable, instanceUnreachable, isFailureOfOneJob } from '../errors.ts';
import { causeOf, expectStatus } from './http.ts';
import type { JobClient } from './job-client.ts';
import { retryWhileUnreachable } from './retry.ts';

/** Bytes of the largest blob that is fetched: 32 GiB. An image archive beyond that would fill the executor's cache. */
const blobMax = 32 * 2 ** 30;
const action = 'fetch an archive';
/** Programs under the profile, which have the agent's group, read it. No other user can enter the directory. */
const archiveMode = 0o640;

/**
 * Fetches a blob of the instance into the cache and returns the path of its file. The instance is asked under the job's token
 * even if the file is cached: the cache grants nothing (docs/invariants.md, 11). Errors: `image_not_found`, `blob_damaged`,
 * `instance_refused`, `lease_lost`.
 */
export async function fetchBlob(
  client: JobClient,
  digest: string,
  directory: string,
  cache: FileCacheUse,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, `archive-${digest.replace(':', '-')}`);
  const open = (method: 'HEAD' | 'GET', stop: AbortSignal, read: (response: Answer) => Promise<void>) =>
    retryWhileUnreachable(clock, stop, async () => {
      const request = { method, path: client.blobPath(digest), headers: {}, signal: stop, action };
      const response = await client.open(request);
      if (response.status === 404) throw imageUnavailable(digest, 'the instance does not have it');
      if (response.status !== 200) await expectStatus(response, [200], action);
      await read(response);
    });
  await open('HEAD', signal, async () => {});
  await cache.get({
    files: [file],
    what: `the archive ${digest}`,
    signal,
    isOwnFailure: isFailureOfOneJob,
    make: (stop) => open('GET', stop, (response) => storeBlob(response, digest, file, stop)),
  });
  return file;
}

/** Writes the body to a file beside the final one, and renames it when its digest is the expected one. */
async function storeBlob(response: Answer, digest: string, file: string, signal: AbortSignal): Promise<void> {
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
    await pipeline(response.body, checked, createWriteStream(partial, { flags: 'wx', mode: 0o600 })).catch(
      (error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof FumehoodError || (error as NodeJS.ErrnoException).syscall === 'write')
          throw error;
        throw instanceUnreachable(action, causeOf(error));
      },
    );
    if (`sha256:${hash.digest('hex')}` !== digest) throw blobDamaged(digest, 'its bytes have another digest');
    await chmod(partial, archiveMode);
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
}
