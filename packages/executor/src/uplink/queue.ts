import { arch, platform } from 'node:os';
import {
  type Arch,
  type DequeueRequest,
  type HeartbeatRequest,
  type HeartbeatResponse,
  heartbeatResponseSchema,
  type Job,
  jobSchema,
  type QueueName,
  type Tier,
} from '@fumehood/protocol';
import { instanceUnreachable } from '../errors.ts';
import { asExecutor, type Credential } from './credential.ts';
import { expectStatus, type Http, parseAnswer } from './http.ts';
import { negotiated } from './negotiate-version.ts';
import type { OrderSource } from './push-stream.ts';

/** Who this executor is to its instance. */
export interface ExecutorIdentity {
  readonly name: string;
  readonly version: string;
  readonly credential: Credential;
  readonly tiers: readonly Tier[];
  readonly arch: Arch;
  readonly labels: readonly string[];
}

/** Names a leased job. */
export interface JobReference {
  readonly id: number;
  readonly queue: QueueName;
  /** Null when the instance, an upstream one, does not count them. */
  readonly attempt: number | null;
}

export interface Room {
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly scratchMiB: number;
}

/** The routes of an executor, as against those of one job. */
export interface QueueClient {
  /** Asks for a job that fits; held by the instance up to `waitMs`. Null when there is none. Never repeated by itself. */
  lease(
    queues: QueueName[],
    room: { free: Room; total: Room },
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Job | null>;
  heartbeat(
    queues: QueueName[],
    jobs: readonly JobReference[],
    signal: AbortSignal,
  ): Promise<HeartbeatResponse>;
}

export function openQueue(plain: Http, executor: ExecutorIdentity): QueueClient & OrderSource {
  const { http, version } = negotiated(plain);
  const ask = asExecutor(http, executor.credential);
  const post = (path: string, body: DequeueRequest | HeartbeatRequest, signal: AbortSignal, what: string) =>
    ask({ method: 'POST', path: `/.executors/queue/${path}`, body: JSON.stringify(body), signal, what });
  return {
    version,
    async openOrders(signal) {
      const what = 'be told what changes';
      const path = `/.executors/queue/push?executorName=${encodeURIComponent(executor.name)}`;
      const response = await ask({ method: 'GET', path, signal, what });
      if (response.status !== 200) await expectStatus(response, [200], what);
      if (!response.body) throw instanceUnreachable(what, 'its answer has no body');
      return response.body;
    },
    async lease(queues, { free, total }, waitMs, signal) {
      const body: DequeueRequest = {
        executorName: executor.name,
        version: executor.version,
        numCPUs: free.cpus,
        memory: `${free.memoryMiB}M`,
        diskSpace: `${free.scratchMiB}M`,
        queues,
        fumehood: {
          tiers: [...executor.tiers],
          arch: executor.arch,
          labels: [...executor.labels],
          total,
          freeCpus: free.cpus,
          freeMemoryMiB: free.memoryMiB,
          freeScratchMiB: free.scratchMiB,
          waitMs,
        },
      };
      const what = 'lease a job';
      const response = await post('dequeue', body, signal, what);
      const text = await expectStatus(response, [200, 204], what);
      return response.status === 204 ? null : parseAnswer(jobSchema, text, what);
    },
    async heartbeat(queues, jobs, signal) {
      const body: HeartbeatRequest = {
        executorName: executor.name,
        version: '',
        executorVersion: executor.version,
        os: platform(),
        architecture: arch(),
        queueNames: queues,
        jobIdsByQueue: queues.map((queueName) => ({
          queueName,
          jobIds: jobs.filter((job) => job.queue === queueName).map((job) => String(job.id)),
        })),
        fumehood: {
          tiers: [...executor.tiers],
          leases: jobs.flatMap(({ id, attempt }) => (attempt === null ? [] : [{ jobId: id, attempt }])),
        },
      };
      const what = 'renew its leases';
      const text = await expectStatus(await post('heartbeat', body, signal, what), [200], what);
      return parseAnswer(heartbeatResponseSchema, text, what);
    },
  };
}
