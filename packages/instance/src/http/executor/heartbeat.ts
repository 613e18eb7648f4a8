import { FumehoodError } from '@fumehood/base';
import {
  type HeartbeatResponse,
  heartbeatRequestSchema,
  ordersVersion,
  type QueueName,
} from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { authenticateExecutor, requireQueues } from '../../auth/executor.ts';
import { forbidden } from '../../errors.ts';
import { heartbeat as beat } from '../../queue/queue.ts';
import type { HttpDeps } from '../deps.ts';
import { bodyAs } from './body.ts';
import { isNative, versionOf } from './negotiate.ts';
import { checkQueueNames } from './queues.ts';

/** Renews an executor's leases, and tells which of them are lost or to be canceled. */
export async function heartbeat(
  deps: HttpDeps,
  request: FastifyRequest,
  only: QueueName | null,
): Promise<HeartbeatResponse> {
  const credential = await authenticateExecutor(deps.db, request);
  const raw = request.body as { queueNames?: unknown; jobIdsByQueue?: unknown } | null;
  if (!only) {
    checkQueueNames(raw?.queueNames);
    const groups = z.array(z.object({ queueName: z.string() })).safeParse(raw?.jobIdsByQueue);
    if (groups.success) checkQueueNames(groups.data.map((group) => group.queueName));
  }
  const body = bodyAs(heartbeatRequestSchema, request.body);
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
  const beaten = await beat(deps.db, deps.kinds, {
    seen: {
      name: body.executorName,
      credentialId: credential.id,
      version: body.executorVersion ?? body.version,
      native: native !== undefined,
      queues,
      tiers: native?.tiers ?? null,
      offer: null,
    },
    held: groups
      .flatMap((group) => group.jobIds)
      .map((jobId) => ({ jobId, attempt: attempts.get(jobId) ?? null })),
  });
  if (!beaten) throw forbidden('another credential uses this executor name');
  const named = (job: { id: number; queue: QueueName }) => (only ? `${job.id}` : `${job.id}-${job.queue}`);
  return {
    knownIds: beaten.renewed.map(named),
    cancelIds: beaten.renewed.filter((job) => job.cancel_requested).map(named),
    ...(versionOf(request) >= ordersVersion && { fumehood: { draining: beaten.draining } }),
  };
}
