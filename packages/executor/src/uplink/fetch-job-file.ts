import { type Clock, collect, FumehoodError } from '@fumehood/base';
import { fileMissing, instanceUnreachable } from '../errors.ts';
import { causeOf, expectStatus } from './http.ts';
import type { JobClient } from './job-client.ts';
import { retryWhileUnreachable } from './retry.ts';

const action = "fetch a job's file";

/**
 * Fetches a file that a job names by bucket and key, from the files route, under the job's token. Errors: `file_missing`,
 * `too_big` for more than `maxBytes`, `instance_refused`, `lease_lost`.
 */
export function fetchJobFile(
  client: JobClient,
  { bucket, key }: { readonly bucket: string; readonly key: string },
  maxBytes: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Buffer> {
  // An upstream key consists of two names. URL parsers resolve the segments `.` and `..`, which would lead to another route.
  const parts = [bucket, ...key.split('/')];
  if (parts.some((part) => part === '' || /^\.{1,2}$/.test(part)))
    throw fileMissing(`${bucket}/${key}`, 'this is not the name of a file');
  const path = `/.executors/files/${parts.map(encodeURIComponent).join('/')}`;
  return retryWhileUnreachable(clock, signal, async () => {
    const response = await client.open({ method: 'GET', path, headers: {}, signal, action });
    if (response.status === 404) throw fileMissing(`${bucket}/${key}`, 'the instance does not have it');
    if (response.status !== 200) await expectStatus(response, [200], action);
    if (!response.body) return Buffer.alloc(0);
    return collect(response.body, maxBytes).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error instanceof FumehoodError ? error : instanceUnreachable(action, causeOf(error));
    });
  });
}
