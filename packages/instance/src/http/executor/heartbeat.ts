import { FumehoodError } from '@fumehood/base';
import {
  type HeartbeatResponse,
  heartbeatRequestSchema,
  ordersVersion,
  type QueueName,
} from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { requireQueues } from '../../auth/executor.ts';
import { recordHeartbeat } from '../../queue/queue.ts';
import { checkInput, readJson } from '../body.ts';
import { credentialOf, requireCredential } from '../credential.ts';
import type { RouteDeps } from '../deps.ts';
import { bodyLimits } from '../limits.ts';
import { isNative, negotiate, versionOf } from '../negotiate.ts';
import { checkQueueNames, queueOf, queueParam } from '../queues.ts';

/**
 * `POST /.executors/queue/heartbeat`, and `…/{queue}/heartbeat` for one queue: renews the leases of an executor, and says which of
 * its jobs are still known and which it has to cancel.
 */
export function heartbeatRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  negotiate(scope);
  requireCredential(scope, deps.db);
  readJson(scope, bodyLimits.executor);
  scope.post('/.executors/queue/heartbeat', (request) => heartbeat(deps, request, null));
  scope.post(`/.executors/queue/${queueParam}/heartbeat`, (request) =>
    heartbeat(deps, request, queueOf(request)),
  );
}

/** `only`: the queue that the path names, or null on the route of all queues. */
async function heartbeat(
  deps: RouteDeps,
  request: FastifyRequest,
  only: QueueName | null,
): Promise<HeartbeatResponse> {
  const credential = credentialOf(request);
  const raw = request.body as { queueNames?: unknown; jobIdsByQueue?: unknown } | null;
  if (!only) {
    checkQueueNames(raw?.queueNames);
    const groups = z.array(z.object({ queueName: z.string() })).safeParse(raw?.jobIdsByQueue);
    if (groups.success) checkQueueNames(groups.data.map((group) => group.queueName));
  }
  const body = checkInput(heartbeatRequestSchema, request.body);
  if (!only && body.queueNames.length === 0)
    throw new FumehoodError({
      status: 500,
      code: 'invalid_queue',
      message: 'queueNames must be set for multi-queue heartbeats',
    });
  const native = isNative(request) ? body.fumehood : undefined;
  const queues = only ? [only] : body.queueNames;
  const groups = only ? [{ queueName: only, jobIds: body.jobIds }] : body.jobIdsByQueue;
  requireQueues(credential, [...queues, ...groups.map((group) => group.queueName)]);
  const attempts = new Map(native?.leases?.map((held) => [held.jobId, held.attempt]));
  const answer = await recordHeartbeat(deps.db, deps.kinds, {
    report: {
      name: body.executorName,
      credentialId: credential.id,
      version: body.executorVersion ?? body.version,
      native: native !== undefined,
      queues,
      tiers: native?.tiers ?? null,
      offer: null,
      network: null,
      machine: native?.machine ?? null,
      beat: { trouble: native?.trouble ?? null },
    },
    held: groups
      .flatMap((group) => group.jobIds)
      .map((jobId) => ({ jobId, attempt: attempts.get(jobId) ?? null })),
  });
  const nameOf = (job: { id: number; queue: QueueName }) => (only ? `${job.id}` : `${job.id}-${job.queue}`);
  return {
    knownIds: answer.renewed.map(nameOf),
    cancelIds: answer.renewed.filter((job) => job.cancel_requested).map(nameOf),
    ...(versionOf(request) >= ordersVersion && { fumehood: { draining: answer.draining } }),
  };
}
