import { type Job, type JobRecord, jobRecordSchema, jobSchema, type QueueName } from '@fumehood/protocol';
import { jobHeaders } from '../../../testing/executor-client.ts';
import type { TestInstance } from '../../../testing/instance.ts';

/**
 * The requests of an executor of upstream's kind: no header of ours, and a JSON content type on every request. The tests beside this
 * file hold the instance to upstream's answers; where the instance answers otherwise, a comment says why.
 */
export function upstreamExecutor(instance: TestInstance, name = 'up') {
  const client = instance.executor({ name, protocol: null });
  const post = (path: string, body: object, headers: Record<string, string>) =>
    client.raw({
      method: 'POST',
      path: `/.executors/queue/${path}`,
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  return {
    /** Sends any body with the executor's credential. */
    executor: (path: string, body: object) => post(path, body, client.headers),
    /** Asks for a job on the queue's own route. */
    dequeue: (queue: string, more: object = {}) => client.dequeue({ version: '5.3.0', ...more }, { queue }),
    /** Asks for a job on the route of all queues. */
    dequeueAny: (queues: readonly string[], more: object = {}) =>
      client.dequeue({ version: '5.3.0', queues: queues as QueueName[], ...more }),
    /** Sends a heartbeat without jobs. */
    beat: () => client.heartbeat({ jobIds: [] }, 'codeintel'),
    /** Sends any body with the job's token. */
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
