import { gzipSync } from 'node:zlib';
import type { Job } from '@fumehood/protocol';
import { command } from './git-protocol.ts';

/** A request on a route of a job's token, rightly made for that job, but for its headers. */
interface JobRequest {
  readonly path: string;
  readonly body?: string | Buffer;
}
type Sample = (job: Job, queue: string, executor: string) => JobRequest;

export const entry = { key: 'step', command: [], startTime: '2026-01-02T03:04:05Z' };
const result = { tier: 'vm-emulated', vmm: 'qemu', exitCode: 0, guest: null, inspection: null, leftOver: {} };

const json =
  (operation: string, more: object): Sample =>
  (job, queue, executorName) => ({
    path: `/.executors/queue/${queue}/${operation}`,
    body: JSON.stringify({ executorName, jobId: job.id, ...more }),
  });
const read =
  (what: string): Sample =>
  (_job, queue) => ({ path: `/.executors/queue/${queue}/${what}` });
const image: Sample = (job, queue) => ({
  path: `/.executors/queue/${queue}/${job.dockerSteps?.[0]?.image.replace('blob:', 'blob/')}`,
});
const refs: Sample = ({ repositoryName }) => ({
  path: `/.executors/git/${repositoryName}/info/refs?service=git-upload-pack`,
});
const upload =
  (format: string, body?: Buffer): Sample =>
  ({ repositoryName, commit }) => ({
    path: `/.executors/${format}/upload?repository=${repositoryName}&commit=${commit}&indexerName=one`,
    ...(body && { body }),
  });
/** An index with metadata that say nothing, and no more. */
const index = gzipSync(Buffer.from([0x0a, 0x00]));

/** Every route that takes a job's token, as `METHOD url`. */
export const jobRoutes: Readonly<Record<string, Sample>> = {
  'POST /.executors/queue/:queue/addExecutionLogEntry': json('addExecutionLogEntry', entry),
  'POST /.executors/queue/:queue/updateExecutionLogEntry': json('updateExecutionLogEntry', {
    ...entry,
    entryId: 1,
    exitCode: 3,
  }),
  'POST /.executors/queue/:queue/appendLog': (_job, queue) => ({
    path: `/.executors/queue/${queue}/appendLog?entry=1&stream=stdout&offset=0`,
    body: 'bytes',
  }),
  'GET /.executors/queue/:queue/input': read('input?offset=0'),
  'HEAD /.executors/queue/:queue/input': read('input?offset=0'),
  'GET /.executors/queue/:queue/blob/:digest': image,
  'HEAD /.executors/queue/:queue/blob/:digest': image,
  'POST /.executors/queue/:queue/result': json('result', result),
  'POST /.executors/queue/:queue/markErrored': json('markErrored', { errorMessage: 'no' }),
  'POST /.executors/queue/:queue/markFailed': json('markFailed', { errorMessage: 'no' }),
  'POST /.executors/queue/:queue/markComplete': json('markComplete', {}),
  'GET /.executors/git/*': refs,
  'HEAD /.executors/git/*': refs,
  'POST /.executors/git/*': ({ repositoryName, commit }) => ({
    path: `/.executors/git/${repositoryName}/git-upload-pack`,
    body: command('fetch', `want ${commit}`, 'done'),
  }),
  'POST /.executors/scip/upload': upload('scip', index),
  'HEAD /.executors/scip/upload': upload('scip'),
  'POST /.executors/lsif/upload': upload('lsif', index),
  'HEAD /.executors/lsif/upload': upload('lsif'),
};

/** Every route that takes the credential of executors. */
export const executorRoutes: readonly string[] = [
  'GET /.executors/test/auth',
  'HEAD /.executors/test/auth',
  'GET /.executors/queue/.executors/test/auth',
  'HEAD /.executors/queue/.executors/test/auth',
  'POST /.executors/queue/dequeue',
  'POST /.executors/queue/:queue/dequeue',
  'POST /.executors/queue/heartbeat',
  'POST /.executors/queue/:queue/heartbeat',
  'GET /.executors/queue/push',
];

/** Every route that anybody may ask. */
export const publicRoutes: readonly string[] = ['', '/.executors/queue'].flatMap((prefix) => [
  `GET ${prefix}/.api/src-cli/version`,
  `HEAD ${prefix}/.api/src-cli/version`,
]);

export function sendTo(
  url: string,
  route: string,
  job: Job,
  headers: Record<string, string>,
  { queue = 'codeintel', executor = 'e1' } = {},
): Promise<Response> {
  const sample = jobRoutes[route];
  if (!sample) throw new TypeError(`no request for ${route}`);
  const { path, body } = sample(job, queue, executor);
  return fetch(`${url}${path}`, {
    method: route.split(' ')[0] as string,
    headers: {
      ...(path.endsWith('/git-upload-pack') && {
        'content-type': 'application/x-git-upload-pack-request',
        'git-protocol': 'version=2',
      }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : new Uint8Array(body) }),
  });
}
