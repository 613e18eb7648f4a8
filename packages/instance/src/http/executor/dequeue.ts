import { FumehoodError } from '@fumehood/base';
import {
  dequeueRequestSchema,
  type PayloadVersion,
  payloadVersion,
  type QueueName,
  type Tier,
} from '@fumehood/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { authenticateExecutor, requireQueues } from '../../auth/executor.ts';
import { forbidden } from '../../errors.ts';
import { leaseTimes } from '../../queue/kind.ts';
import { lease } from '../../queue/queue.ts';
import { seeExecutor } from '../../queue/sql/executors.ts';
import type { Offer } from '../../queue/sql/take.ts';
import type { Waiters } from '../../queue/waiters.ts';
import { goneSignal } from '../closed.ts';
import type { HttpDeps } from '../deps.ts';
import { bodyAs } from './body.ts';
import { freeOf, machineVariables } from './machine.ts';
import { isNative } from './negotiate.ts';
import { payloadOf, type Recipient } from './payload.ts';
import { checkQueueNames } from './queues.ts';

/** An executor that does not say what it has: the weakest, so that nothing runs in less than it accepts. */
const unsaidTiers: readonly Tier[] = ['container'];

/** Leases a job to an executor, on one queue's own route (`only`) or on that of all. */
export async function dequeue(
  deps: HttpDeps,
  waiters: Waiters,
  request: FastifyRequest,
  reply: FastifyReply,
  only: QueueName | null,
): Promise<FastifyReply> {
  const credential = await authenticateExecutor(deps.db, request);
  if (!only) checkQueueNames((request.body as { queues?: unknown } | null)?.queues);
  const body = bodyAs(dequeueRequestSchema, request.body);
  const native = isNative(request) ? body.fumehood : undefined;
  const queues = only ? [only] : body.queues;
  requireQueues(credential, queues);
  const tiers = native?.tiers ?? unsaidTiers;
  const seen = await seeExecutor(deps.db, {
    name: body.executorName,
    credentialId: credential.id,
    version: body.version,
    native: native !== undefined,
    queues,
    tiers,
    offer: native ?? null,
  });
  if (!seen) throw forbidden('another credential uses this executor name');
  if (queues.length === 0) return reply.code(204).send();
  const to: Recipient = native
    ? { native: true, leaseMs: leaseTimes.native }
    : { native: false, version: versionFor(body.version), variables: machineVariables(body) };
  const offer: Offer = {
    executor: body.executorName,
    queues,
    tiers,
    arch: native?.arch ?? null,
    labels: native?.labels ?? [],
    free: native
      ? { cpus: native.freeCpus, memoryMiB: native.freeMemoryMiB, scratchMiB: native.freeScratchMiB }
      : freeOf(body),
    native: native !== undefined,
  };
  const leaseMs = to.native ? to.leaseMs : leaseTimes.upstream;
  const gone = goneSignal(reply, deps.stopping);
  const ask = () => lease(deps.db, offer, leaseMs);
  const waitMs = native?.waitMs ?? 0;
  const leased = waitMs > 0 ? await waiters.wait({ offer, ask, waitMs, gone }) : await ask();
  if (leased === null || typeof leased === 'string') return reply.code(204).send();
  return reply.send(await payloadOf(deps, { leased, to, single: only !== null, log: request.log }));
}

/** Found out before anything is leased. Errors: upstream's text. */
function versionFor(version: string): PayloadVersion {
  const found = payloadVersion(version);
  if (found !== null) return found;
  throw new FumehoodError({
    status: 500,
    code: 'invalid_request',
    message: `failed to check version ${JSON.stringify(version)}: Invalid Semantic Version`,
  });
}
