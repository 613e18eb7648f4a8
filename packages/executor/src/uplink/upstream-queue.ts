import { arch, platform } from 'node:os';
import {
  type DequeueRequest,
  type HeartbeatRequest,
  heartbeatResponseSchema,
  jobSchema,
  type QueueName,
  upstreamVersion,
} from '@fumehood/protocol';
import * as z from 'zod';
import { withCredential } from './credential.ts';
import { expectStatus, type Http, parseAnswer } from './http.ts';
import { instanceRefused } from '../errors.ts';
import type { PushSource } from './push-stream.ts';
import type { ExecutorIdentity, JobReference, QueueClient, Resources } from './queue.ts';

/** Upstream writes these names in two spellings (`knownIds`, `knownIDs`), and older instances do not send `cancelIds`. */
const heartbeatAnswerSchema = z
  .record(z.string(), z.unknown())
  .transform((answer) => {
    const lower = new Map(Object.entries(answer).map(([name, value]) => [name.toLowerCase(), value]));
    return { knownIds: lower.get('knownids') ?? null, cancelIds: lower.get('cancelids') ?? null };
  })
  .pipe(heartbeatResponseSchema);

/**
 * Opens the routes of an executor on an instance of upstream's kind. With `single`, these are the routes of that one queue, whose
 * job ids are bare numbers; otherwise they are the routes of several queues. Every job gets the resources `each`, so a job is
 * leased only while these are free.
 */
export function openUpstreamQueue(
  http: Http,
  executor: ExecutorIdentity,
  single: QueueName | null,
  each: Resources,
): QueueClient & PushSource {
  const send = withCredential(http, executor.credential);
  const base = single === null ? '/.executors/queue' : `/.executors/queue/${single}`;
  const post = (
    operation: string,
    body: DequeueRequest | HeartbeatRequest,
    signal: AbortSignal,
    action: string,
  ) => send({ method: 'POST', path: `${base}/${operation}`, body: JSON.stringify(body), signal, action });
  const fits = (free: Resources) =>
    free.cpus >= each.cpus && free.memoryMiB >= each.memoryMiB && free.scratchMiB >= each.scratchMiB;

  return {
    version: () => upstreamVersion,
    // `followPushStream` does not call this at `upstreamVersion`.
    openPushStream: () => Promise.reject(instanceRefused('open the push stream', 404, '')),
    async lease(queues, { free }, _waitMs, signal) {
      const action = 'lease a job';
      if (!fits(free)) return null;
      const body: DequeueRequest = {
        executorName: executor.name,
        version: executor.version,
        numCPUs: each.cpus,
        memory: `${each.memoryMiB}M`,
        diskSpace: `${each.scratchMiB}M`,
        ...(single === null && { queues }),
      };
      const response = await post('dequeue', body, signal, action);
      const text = await expectStatus(response, [200, 204], action);
      if (response.status === 204) return null;
      const job = parseAnswer(jobSchema, text, action);
      return single === null ? job : { ...job, queue: single };
    },
    async heartbeat(queues, jobs, signal) {
      const body: HeartbeatRequest = {
        executorName: executor.name,
        ...(single === null
          ? { version: '', jobIdsByQueue: idsByQueue(jobs), queueNames: queues }
          : { version: 'V2', jobIds: jobs.map(({ id }) => id) }),
        ...telemetry(executor, jobs.length),
      };
      const action = 'renew leases';
      const text = await expectStatus(await post('heartbeat', body, signal, action), [200], action);
      const { knownIds, cancelIds } = parseAnswer(heartbeatAnswerSchema, text, action);
      const withQueue = (ids: readonly string[] | null) =>
        (ids ?? []).map((id) => (single === null ? id : `${id}-${single}`));
      return { knownIds: withQueue(knownIds), cancelIds: withQueue(cancelIds) };
    },
  };
}

function idsByQueue(jobs: readonly JobReference[]) {
  const queues = [...new Set(jobs.map(({ queue }) => queue))].toSorted();
  return queues.map((queueName) => ({
    queueName,
    jobIds: jobs.filter(({ queue }) => queue === queueName).map(({ id }) => String(id)),
  }));
}

/** What the admin pages of an upstream instance show. The versions of programs that this executor does not use are empty. */
function telemetry(executor: ExecutorIdentity, running: number) {
  const metrics = [
    '# HELP fumehood_executor_jobs Jobs that this executor holds.',
    '# TYPE fumehood_executor_jobs gauge',
    `fumehood_executor_jobs ${running}`,
  ];
  return {
    os: platform(),
    architecture: arch(),
    dockerVersion: '',
    executorVersion: executor.version,
    gitVersion: '',
    igniteVersion: '',
    srcCliVersion: '',
    prometheusMetrics: `${metrics.join('\n')}\n`,
  };
}
