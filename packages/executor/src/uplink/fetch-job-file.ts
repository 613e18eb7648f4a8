import { collect, type Clock, FumehoodError } from '@fumehood/base';
import { fileMissing, instanceUnreachable } from '../errors.ts';
import { expectStatus, reasonOf } from './http.ts';
import type { JobClient } from './job-client.ts';
import { retrying } from './retry.ts';

/**
 * A file that a job names in place of bringing it, from the files route, under the job's token. Errors: `file_missing`,
 * `too_big` for more than `maxBytes`, `instance_…`.
 */
export function fetchFile(
  client: JobClient,
  { bucket, key }: { readonly bucket: string; readonly key: string },
  maxBytes: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Buffer> {
  const what = "fetch a job's file";
  // Upstream's key is two names; a dot would be taken out of the path by whoever reads it.
  const parts = [bucket, ...key.split('/')];
  if (parts.some((part) => part === '' || /^\.{1,2}$/.test(part)))
    throw fileMissing(`${bucket}/${key}`, 'that names no file');
  const path = `/.executors/files/${parts.map(encodeURIComponent).join('/')}`;
  return retrying(clock, signal, async () => {
    const response = await client.open({ method: 'GET', path, headers: {}, signal, what });
    if (response.status === 404) throw fileMissing(`${bucket}/${key}`, 'the instance does not have it');
    if (response.status !== 200) await expectStatus(response, [200], what);
    if (!response.body) return Buffer.alloc(0);
    return collect(response.body, maxBytes).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error instanceof FumehoodError ? error : instanceUnreachable(what, reasonOf(error));
    });
  });
}
