import { gzipSync } from 'node:zlib';
import type { Job, JobReceipt } from '@fumehood/protocol';
import { executorClient, type JobRoutes, type Send } from './executor-client.ts';
import { command } from './git-protocol.ts';

type Request = (routes: JobRoutes, job: Job) => Promise<Response>;

export const entry = { key: 'step', command: [], startTime: '2026-01-02T03:04:05Z' };
const result = {
  tier: 'vm-emulated',
  vmm: 'qemu',
  exitCode: 0,
  guest: null,
  inspection: null,
  leftOver: {},
} as const;
/** An index with empty metadata and nothing else. */
export const emptyIndex = gzipSync(Buffer.from([0x0a, 0x00]));

/** A receipt of a connection that was allowed. */
export const receiptOf = (seq: number, facts: Partial<JobReceipt> = {}): JobReceipt => ({
  ...{ seq, at: 0, step: 'step.docker.0', kind: 'connection', name: 'a.test', address: '1.1.1.1', port: 443 },
  ...{
    serverName: 'a.test',
    sentBytes: 5,
    receivedBytes: 7,
    verdict: 'allowed',
    rule: 'public',
    reason: null,
  },
  ...facts,
});

const image = (job: Job) => job.dockerSteps?.[0]?.image ?? '';
const upload =
  (format: string, index?: Buffer): Request =>
  (routes, { repositoryName: repository, commit }) =>
    routes.upload({ repository, commit, indexerName: 'one' }, index, format);

/** Every route that takes a job's token, as `METHOD url`, with a request that is valid for the job. */
export const jobRoutes: Readonly<Record<string, Request>> = {
  'POST /.executors/queue/:queue/addExecutionLogEntry': (routes) => routes.addEntry(entry),
  'POST /.executors/queue/:queue/updateExecutionLogEntry': (routes) =>
    routes.updateEntry({ ...entry, entryId: 1, exitCode: 3 }),
  'POST /.executors/queue/:queue/appendLog': (routes) => routes.append(1, 'stdout', 0, 'bytes'),
  'GET /.executors/queue/:queue/input': (routes) => routes.input(0),
  'HEAD /.executors/queue/:queue/input': (routes) => routes.input(0, { method: 'HEAD' }),
  'GET /.executors/queue/:queue/blob/:digest': (routes, job) => routes.blob(image(job)),
  'HEAD /.executors/queue/:queue/blob/:digest': (routes, job) => routes.blob(image(job), 'HEAD'),
  'POST /.executors/queue/:queue/artifact': (routes, job) =>
    routes.artifact(job.fumehood?.artifacts[0] ?? 'out', 'a tar archive'),
  'POST /.executors/queue/:queue/nextStep': (routes) => routes.nextStep(null),
  'POST /.executors/queue/:queue/stepDiff': (routes) => routes.stepDiff(0, 'a diff'),
  'POST /.executors/queue/:queue/receipts': (routes) =>
    routes.receipts({ policy: { mode: 'public' }, receipts: [receiptOf(0)], ended: false }),
  'POST /.executors/queue/:queue/result': (routes) => routes.result(result),
  'POST /.executors/queue/:queue/markErrored': (routes) => routes.errored('no'),
  'POST /.executors/queue/:queue/markFailed': (routes) => routes.failed('no'),
  'POST /.executors/queue/:queue/markComplete': (routes) => routes.complete(),
  'GET /.executors/git/*': (routes, job) => routes.refs(job.repositoryName),
  'HEAD /.executors/git/*': (routes, job) => routes.refs(job.repositoryName, 'HEAD'),
  'POST /.executors/git/*': (routes, { repositoryName, commit }) =>
    routes.uploadPack(repositoryName, command('fetch', `want ${commit}`, 'done')),
  'POST /.executors/scip/upload': upload('scip', emptyIndex),
  'HEAD /.executors/scip/upload': upload('scip'),
  'POST /.executors/lsif/upload': upload('lsif', emptyIndex),
  'HEAD /.executors/lsif/upload': upload('lsif'),
};

/** The routes that take the token of a job of a batch change alone. */
export const batchJobRoutes: readonly string[] = ['GET', 'HEAD'].map(
  (method) => `${method} /.executors/files/batch-changes/:spec/:file`,
);

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
  // Ends the credential, so it is the last one.
  'POST /.executors/leave',
];

/** The route that takes a join token. */
export const joinRoute = 'POST /.executors/join';

/** The route that takes what is signed with the secret of a webhook. */
export const deliveryRoute = 'POST /hooks/*';

/** Every route that takes no secret. */
export const publicRoutes: readonly string[] = [
  '/.api/src-cli/version',
  '/.executors/queue/.api/src-cli/version',
  '/api/openapi.json',
].flatMap((path) => [`GET ${path}`, `HEAD ${path}`]);

interface SendOptions {
  readonly queue?: string;
  /** The executor that the body names. */
  readonly executor?: string;
  /** Sends the request; default `fetch`. */
  readonly send?: Send;
}

/** Sends the valid request of a route for the job, with these headers. */
export function sendTo(
  url: string,
  route: string,
  job: Job,
  headers: Record<string, string>,
  { queue = 'codeintel', executor = 'e1', send = fetch }: SendOptions = {},
): Promise<Response> {
  const request = jobRoutes[route];
  if (!request) throw new TypeError(`no request for ${route}`);
  const client = executorClient({ url, credential: '', name: executor, send });
  return request(client.job(job, { queue, headers }), job);
}

/** Returns the path and the body of the valid request of a route for the job, without sending it. */
export async function requestOf(route: string, job: Job): Promise<{ path: string; body: string }> {
  let sent = { path: '', body: '' };
  await sendTo(
    '',
    route,
    job,
    {},
    {
      send: async (path, { body }) => {
        sent = { path, body: typeof body === 'string' ? body : '' };
        return new Response();
      },
    },
  );
  return sent;
}
