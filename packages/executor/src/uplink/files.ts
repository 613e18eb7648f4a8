import { Readable } from 'node:stream';
import { fileMissing } from '../errors.ts';
import { expectStatus } from './http.ts';
import type { JobClient } from './job.ts';

/** The bytes of a file that the instance keeps for a job. Errors: `file_not_found`, `instance_…`. */
export async function openFile(client: JobClient, bucket: string, key: string): Promise<Readable> {
  const what = "fetch one of the job's files";
  const place = [bucket, ...key.split('/')].map(encodeURIComponent).join('/');
  const response = await client.open({
    method: 'GET',
    path: `/.executors/files/${place}`,
    headers: {},
    what,
  });
  if (response.status === 404) throw fileMissing(place);
  if (response.status !== 200) await expectStatus(response, [200], what);
  return response.body ? Readable.fromWeb(response.body) : Readable.from([]);
}
