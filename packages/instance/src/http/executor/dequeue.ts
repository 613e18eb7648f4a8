import { FumehoodError } from '@fumehood/base';
import {
  dequeueRequestSchema,
  type PayloadVersion,
  payloadVersion,
  type QueueName,
  type Tier,
  upstreamVersion,
} from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { requireQueues } from '../../auth/executor.ts';
import { leaseTimes } from '../../queue/kind.ts';
import { egressOf, type Offer } from '../../queue/offer.ts';
import { lease } from '../../queue/queue.ts';
import { recordExecutor, touchExecutors } from '../../queue/sql/executors.ts';
import { makeWaiters, type Waiters } from '../../queue/waiters.ts';
import { checkInput, readJson } from '../body.ts';
import { credentialOf, requireCredential } from '../credential.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { bodyLimits } from '../limits.ts';
import { isNative, negotiate, versionOf } from '../negotiate.ts';
import { freeOf, machineVariables } from '../payload/machine.ts';
import { payloadOf, type Recipient } from '../payload/payload.ts';
import { checkQueueNames, queueOf, queueParam } from '../queues.ts';

/** The tiers of an executor that does not name any: the weakest alone, so that no job runs in a weaker tier than it accepts. */
const unnamedTiers: readonly Tier[] = ['container'];

/** `POST /.executors/queue/dequeue`, and `…/{queue}/dequeue` for one queue: 200 with a leased job, or 204. */
export function dequeueRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const waiters = makeWaiters({ ...deps, keepConnected: (names) => touchExecutors(deps.db, names) });
  negotiate(scope);
  requireCredential(scope, deps.db);
  readJson(scope, bodyLimits.executor);
  scope.post('/.executors/queue/dequeue', async (request, reply) =>
    dequeue(deps, waiters, request, reply, null),
  );
  scope.post(`/.executors/queue/${queueParam}/dequeue`, async (request, reply) =>
    dequeue(deps, waiters, request, reply, queueOf(request)),
  );
}

/** `only`: the queue that the path names, or null on the route of all queues. */
async function dequeue(
  deps: RouteDeps,
  waiters: Waiters,
  request: FastifyRequest,
  reply: FastifyReply,
  only: QueueName | null,
): Promise<FastifyReply> {
  const credential = credentialOf(request);
  if (!only) checkQueueNames((request.body as { queues?: unknown } | null)?.queues);
  const body = checkInput(dequeueRequestSchema, request.body);
  const native = isNative(request) ? body.fumehood : undefined;
  const queues = only ? [only] : body.queues;
  requireQueues(credential, queues);
  const tiers = native?.tiers ?? unnamedTiers;
  const protocol = native ? versionOf(request) : upstreamVersion;
  const egress = egressOf(protocol, native?.network ?? false);
  await recordExecutor(deps.db, {
    name: body.executorName,
    credentialId: credential.id,
    version: body.version,
    native: native !== undefined,
    queues,
    tiers,
    offer: native ?? null,
    network: { protocol, egress },
    machine: native?.machine ?? null,
    beat: null,
  });
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
    protocol,
    egress,
  };
  const leaseMs = to.native ? to.leaseMs : leaseTimes.upstream;
  const gone = goneSignal(reply, deps.stopping);
  const ask = () => lease(deps.db, offer, leaseMs);
  const waitMs = native?.waitMs ?? 0;
  const leased = waitMs > 0 ? await waiters.wait({ offer, ask, waitMs, gone }) : await ask();
  if (leased === null || typeof leased === 'string') return reply.code(204).send();
  return reply.send(await payloadOf(deps, { leased, to, single: only !== null, log: request.log }));
}

/** Returns the payload version for an executor's version; called before anything is leased. Errors: upstream's text. */
function versionFor(version: string): PayloadVersion {
  const found = payloadVersion(version);
  if (found !== null) return found;
  throw new FumehoodError({
    status: 500,
    code: 'invalid_request',
    message: `failed to check version ${JSON.stringify(version)}: Invalid Semantic Version`,
  });
}
