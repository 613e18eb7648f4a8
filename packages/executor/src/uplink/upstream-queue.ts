import { arch, platform } from 'node:os';
import {
  type DequeueRequest,
  type HeartbeatRequest,
  heartbeatResponseSchema,
  jobSchema,
  type QueueName,
  upstreamVersion,
} from '@fumehood/protocol';
import { z } from 'zod';
import { asExecutor } from './credential.ts';
import { expectStatus, type Http, parseAnswer } from './http.ts';
import { instanceRefused } from '../errors.ts';
import type { OrderSource } from './push-stream.ts';
import type { ExecutorIdentity, JobReference, QueueClient, Room } from './queue.ts';

/** Upstream reads the names of JSON in any case, and writes two of these; older instances know no `cancelIds`. */
const answerSchema = z
  .record(z.string(), z.unknown())
  .transform((answer) => {
    const lower = new Map(Object.entries(answer).map(([name, value]) => [name.toLowerCase(), value]));
    return { knownIds: lower.get('knownids') ?? null, cancelIds: lower.get('cancelids') ?? null };
  })
  .pipe(heartbeatResponseSchema);

/**
 * The routes of an executor on an instance of upstream's kind (reference §1.4): with `single`, those of that queue alone, whose
 * ids are bare numbers; else those of several. A job is asked for when `each`, what all of them get, is free.
 */
export function openUpstreamQueue(
  http: Http,
  executor: ExecutorIdentity,
  single: QueueName | null,
  each: Room,
): QueueClient & OrderSource {
  const ask = asExecutor(http, executor.credential);
  const base = single === null ? '/.executors/queue' : `/.executors/queue/${single}`;
  const post = (
    operation: string,
    body: DequeueRequest | HeartbeatRequest,
    signal: AbortSignal,
    what: string,
  ) => ask({ method: 'POST', path: `${base}/${operation}`, body: JSON.stringify(body), signal, what });
  const fits = (free: Room) =>
    free.cpus >= each.cpus && free.memoryMiB >= each.memoryMiB && free.scratchMiB >= each.scratchMiB;

  return {
    version: () => upstreamVersion,
    // Nobody asks: it is not of that version.
    openOrders: () => Promise.reject(instanceRefused('be told what changes', 404, '')),
    async lease(queues, { free }, _waitMs, signal) {
      const what = 'lease a job';
      if (!fits(free)) return null;
      const body: DequeueRequest = {
        executorName: executor.name,
        version: executor.version,
        numCPUs: each.cpus,
        memory: `${each.memoryMiB}M`,
        diskSpace: `${each.scratchMiB}M`,
        ...(single === null && { queues }),
      };
      const response = await post('dequeue', body, signal, what);
      const text = await expectStatus(response, [200, 204], what);
      if (response.status === 204) return null;
      const job = parseAnswer(jobSchema, text, what);
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
      const what = 'renew its leases';
      const text = await expectStatus(await post('heartbeat', body, signal, what), [200], what);
      const { knownIds, cancelIds } = parseAnswer(answerSchema, text, what);
      const named = (ids: readonly string[] | null) =>
        (ids ?? []).map((id) => (single === null ? id : `${id}-${single}`));
      return { knownIds: named(knownIds), cancelIds: named(cancelIds) };
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

/** What an admin sees of us there. What upstream's executors have and ours do without is empty. */
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
