import { request as httpRequest } from 'node:http';
import { type Job, type JobRecord, jobRecordSchema, jobSchema } from '@fumehood/protocol';
import { jobHeaders, type TestInstance } from '../../../testing/instance.ts';

/**
 * The requests of an executor of upstream's kind: no header of ours, and a JSON content type on every request. The tests beside this
 * file hold the instance to upstream's answers; where the instance answers otherwise, a comment says why.
 */
export function upstreamExecutor(instance: TestInstance, name = 'up') {
  const post = (path: string, body: unknown, headers: Record<string, string>) =>
    fetch(`${instance.url}/.executors/queue/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  const executor = (path: string, body: unknown) =>
    post(path, body, { authorization: `token-executor ${instance.credential}` });
  return {
    /** Sends a request with the executor's credential. */
    executor,
    /** Asks for a job on the queue's own route. */
    dequeue: (queue: string, more: object = {}) =>
      executor(`${queue}/dequeue`, { executorName: name, version: '5.3.0', ...more }),
    /** Asks for a job on the route of all queues. */
    dequeueAny: (queues: readonly string[], more: object = {}) =>
      executor('dequeue', { executorName: name, version: '5.3.0', queues, ...more }),
    /** Sends a request with the job's token. */
    onJob: (
      job: Pick<Job, 'id' | 'token'>,
      operation: string,
      more: object = {},
      headers: Record<string, string> = {},
    ) =>
      post(
        `codeintel/${operation}`,
        { executorName: name, jobId: job.id, ...more },
        { ...jobHeaders(job, name), ...headers },
      ),
    /** Creates a job that this executor can run, and leases it. */
    async leased(changes: object = {}): Promise<Job> {
      await addIndexing(instance, changes);
      return jobSchema.parse(await (await this.dequeueAny(['codeintel'])).json());
    },
  };
}

export const commit = '4d1f2f0b7f5a5c7f3c0a9d8e6b1a2c3d4e5f6071';
export const indexer = {
  name: 'scip-typescript',
  image: 'sourcegraph/scip-typescript:autoindex',
  commands: ['npm ci --ignore-scripts', 'scip-typescript index'],
};

/** Queues an indexing job that any executor which pulls images can run. */
export async function addIndexing(instance: TestInstance, changes: object = {}): Promise<JobRecord> {
  const job = { queue: 'codeintel', repository: 'acme/payments', commit, indexer, accept: ['container'] };
  return jobRecordSchema.parse(
    await (await instance.api('POST', '/api/jobs', { ...job, ...changes })).json(),
  );
}

export async function answerOf(asked: Promise<Response>): Promise<[status: number, text: string]> {
  const response = await asked;
  return [response.status, await response.text()];
}

/** Sends a request that `fetch` refuses to send: with a body on any method. Follows no redirect. */
export function raw(
  url: string,
  method: string,
  headers: Record<string, string>,
  body = '',
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const length = body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const request = httpRequest(url, { method, headers: { ...headers, ...length } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => void (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on('error', reject);
    request.end(body);
  });
}
