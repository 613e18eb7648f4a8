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
  storableText,
  type Tier,
  troubleMax,
} from '@fumehood/protocol';
import { instanceUnreachable } from '../errors.ts';
import { type Credential, withCredential } from './credential.ts';
import { expectStatus, type Http, parseAnswer } from './http.ts';
import { negotiateVersion } from './negotiate-version.ts';
import type { PushSource } from './push-stream.ts';

/** What the executor tells the instance about itself. */
export interface ExecutorIdentity {
  readonly name: string;
  readonly version: string;
  readonly credential: Credential;
  readonly tiers: readonly Tier[];
  readonly arch: Arch;
  readonly labels: readonly string[];
  /** Whether it can give guests a network. */
  readonly network: boolean;
  /** Where it runs: the instance refuses another machine that uses the same name. */
  readonly machine: string;
}

/** Identifies a leased job. */
export interface JobReference {
  readonly id: number;
  readonly queue: QueueName;
  /** Null when the instance is of upstream's kind, which does not number attempts. */
  readonly attempt: number | null;
}

/** Resources of a job, or of all jobs together. */
export interface Resources {
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly scratchMiB: number;
}

/** The routes of an executor; those of one job are in `JobClient`. */
export interface QueueClient {
  /**
   * Leases a job that fits the free resources. The instance holds the request up to `waitMs` until there is one. Resolves with
   * null when there is none. The request is not repeated: each could lease a job.
   */
  lease(
    queues: QueueName[],
    offer: { free: Resources; total: Resources },
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Job | null>;
  /**
   * Renews the leases of the jobs. Resolves with the jobs that the instance knows, and with those that it cancels, as
   * `<id>-<queue>`.
   */
  heartbeat(
    queues: QueueName[],
    jobs: readonly JobReference[],
    signal: AbortSignal,
  ): Promise<HeartbeatResponse>;
}

/** Opens the routes of an executor on a native instance. `trouble` says why the executor leases nothing, or null. */
export function openQueue(
  plain: Http,
  executor: ExecutorIdentity,
  trouble: () => string | null = () => null,
): QueueClient & PushSource {
  const { http, version } = negotiateVersion(plain);
  const send = withCredential(http, executor.credential);
  const post = (path: string, body: DequeueRequest | HeartbeatRequest, signal: AbortSignal, action: string) =>
    send({ method: 'POST', path: `/.executors/queue/${path}`, body: JSON.stringify(body), signal, action });
  return {
    version,
    async openPushStream(signal) {
      const action = 'open the push stream';
      const query = new URLSearchParams({ executorName: executor.name, machine: executor.machine });
      const path = `/.executors/queue/push?${query.toString()}`;
      const response = await send({ method: 'GET', path, signal, action });
      if (response.status !== 200) await expectStatus(response, [200], action);
      if (!response.body) throw instanceUnreachable(action, 'the answer has no body');
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
          network: executor.network,
          machine: executor.machine,
        },
      };
      const action = 'lease a job';
      const response = await post('dequeue', body, signal, action);
      const text = await expectStatus(response, [200, 204], action);
      return response.status === 204 ? null : parseAnswer(jobSchema, text, action);
    },
    async heartbeat(queues, jobs, signal) {
      const why = trouble();
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
          machine: executor.machine,
          ...(why !== null && { trouble: storableText(why).slice(0, troubleMax) }),
        },
      };
      const action = 'renew leases';
      const text = await expectStatus(await post('heartbeat', body, signal, action), [200], action);
      return parseAnswer(heartbeatResponseSchema, text, action);
    },
  };
}
