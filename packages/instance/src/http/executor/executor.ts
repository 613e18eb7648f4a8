import {
  dequeueRequestSchema,
  heartbeatRequestSchema,
  type Job,
  protocolHeader,
  protocolVersion,
  type QueueName,
  queueNameSchema,
  type Tier,
} from '@glovebox/protocol';
import { GloveboxError } from '@glovebox/base';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { authenticateExecutor } from '../../auth/executor.ts';
import { forbidden } from '../../errors.ts';
import { type Leased, lease, mark } from '../../queue/queue.ts';
import { workTopic } from '../../queue/move.ts';
import { seeExecutor, touchExecutor } from '../../queue/sql/executors.ts';
import { renewLeases } from '../../queue/sql/renew.ts';
import type { Offer } from '../../queue/sql/take.ts';
import { goneSignal } from '../closed.ts';
import type { HttpDeps } from '../deps.ts';
import { bodyAs, readJson } from './body.ts';

/** How long a lease is good after a heartbeat: ours beat every 2 s, upstream's every 5 s (reference §4.4). */
const nativeLeaseMs = 12_000;
const upstreamLeaseMs = 25_000;
/** An executor that does not say what it has: the weakest, so that nothing runs in less than it accepts. */
const unsaidTiers: readonly Tier[] = ['container'];
/** Telemetry of an upstream heartbeat included. */
const bodyLimitBytes = 4 * 2 ** 20;

export const queueParam = ':queue(^(?:codeintel|batches|runs)$)';
export const queueOf = (request: FastifyRequest) =>
  queueNameSchema.parse((request.params as { queue?: unknown }).queue);

/** Routes of an executor's credential: lease and heartbeat, nothing else. */
export function executorRoutes(scope: FastifyInstance, deps: HttpDeps): void {
  readJson(scope, bodyLimitBytes);
  scope.addHook('onSend', async (_request, reply) => {
    reply.header(protocolHeader, protocolVersion);
  });
  scope.get('/.executors/test/auth', async (request, reply) => {
    await authenticateExecutor(deps.db, request);
    return reply.type('text/plain').send('ok');
  });
  scope.post('/.executors/queue/dequeue', async (request, reply) => dequeue(deps, request, reply, null));
  scope.post(`/.executors/queue/${queueParam}/dequeue`, async (request, reply) =>
    dequeue(deps, request, reply, queueOf(request)),
  );
  scope.post('/.executors/queue/heartbeat', (request) => heartbeat(deps, request, null));
  scope.post(`/.executors/queue/${queueParam}/heartbeat`, (request) =>
    heartbeat(deps, request, queueOf(request)),
  );
}

function invalidQueues(names: readonly string[]): GloveboxError {
  const supported = [...queueNameSchema.options].sort().join(', ');
  return new GloveboxError({
    status: 500,
    code: 'invalid_queue',
    message: `Invalid queue name(s) '${names.join(', ')}' found. Supported queue names are '${supported}'.`,
  });
}

/** Names that a request holds, before its schema sees them: upstream has one text for all that are wrong. */
function checkQueueNames(names: unknown): void {
  const found = z.array(z.string()).max(100).safeParse(names);
  if (!found.success) return;
  const wrong = found.data.filter((name) => !queueNameSchema.safeParse(name).success);
  if (wrong.length > 0) throw invalidQueues(wrong);
}

async function dequeue(
  deps: HttpDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  only: QueueName | null,
): Promise<FastifyReply> {
  const credentialId = await authenticateExecutor(deps.db, request);
  if (!only) checkQueueNames((request.body as { queues?: unknown } | null)?.queues);
  const body = bodyAs(dequeueRequestSchema, request.body);
  const native = request.headers[protocolHeader] === protocolVersion ? body.glovebox : undefined;
  const queues = only ? [only] : body.queues;
  const tiers = native?.tiers ?? unsaidTiers;
  const seen = await seeExecutor(deps.db, {
    name: body.executorName,
    credentialId,
    version: body.version,
    native: native !== undefined,
    queues,
    tiers,
    offer: native ?? null,
  });
  if (!seen) throw forbidden('another credential uses this executor name');
  if (queues.length === 0) return reply.code(204).send();
  const free = native && {
    cpus: native.freeCpus,
    memoryMiB: native.freeMemoryMiB,
    scratchMiB: native.freeScratchMiB,
  };
  const offer: Offer = {
    executor: body.executorName,
    queues,
    tiers,
    free: free ?? null,
    native: native !== undefined,
  };
  const leaseMs = native ? nativeLeaseMs : upstreamLeaseMs;
  const gone = goneSignal(reply, deps.stopping);
  const leased = await leaseOrWait(deps, offer, leaseMs, native?.waitMs ?? 0, gone);
  if (!leased) return reply.code(204).send();
  const job = await wireJob(deps, leased, body.version !== '', native ? leaseMs : null);
  return reply.send(only ? { ...job, queue: undefined } : job);
}

/** Leases a job, now or as soon as there is one within `waitMs`. */
async function leaseOrWait(
  deps: HttpDeps,
  offer: Offer,
  leaseMs: number,
  waitMs: number,
  gone: AbortSignal,
): Promise<Leased | null> {
  const { db, wakes, clock } = deps;
  const subscription = wakes.subscribe(workTopic);
  try {
    const deadline = clock.bootTime() + waitMs;
    for (let round = 1; !gone.aborted; round += 1) {
      const leased = await lease(db, offer, leaseMs);
      if (leased) return leased;
      const left = deadline - clock.bootTime();
      if (left <= 0) return null;
      // Announcements are hints: a second without one, and the table is asked again.
      await subscription.next(Math.min(left, 1_000), gone);
      if (round % 5 === 0) await touchExecutor(db, offer.executor);
    }
    return null;
  } finally {
    subscription.close();
  }
}

/** The job as the executor gets it; one that its kind cannot make has failed. */
async function wireJob(
  deps: HttpDeps,
  leased: Leased,
  versioned: boolean,
  nativeLease: number | null,
): Promise<Job> {
  const { job, token } = leased;
  const kind = deps.kinds.get(job.queue);
  try {
    if (!kind) throw new TypeError(`this instance has no queue ${job.queue}`);
    const { glovebox, ...content } = kind.content(job);
    return {
      ...(versioned && { version: 2, dockerAuthConfig: {} }),
      id: job.id,
      token,
      queue: job.queue,
      repositoryName: job.repository,
      commit: job.commit,
      ...content,
      ...(nativeLease !== null && {
        glovebox: {
          ...glovebox,
          attempt: job.attempt,
          accept: job.accept,
          resources: { cpus: job.cpus, memoryMiB: job.memory_mib, scratchMiB: job.scratch_mib },
          leaseMs: nativeLease,
        },
      }),
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const lost = { jobId: job.id, attempt: job.attempt, executor: job.executor ?? '', queue: job.queue };
    await mark(deps.db, deps.kinds, { ...lost, repository: '', commit: '' }, 'fail', {
      reason: 'record_invalid',
      message: `failed to transform record: ${why}`,
    });
    throw new GloveboxError({ status: 500, code: 'record_invalid', message: `RecordTransformer: ${why}` });
  }
}

async function heartbeat(deps: HttpDeps, request: FastifyRequest, only: QueueName | null) {
  const credentialId = await authenticateExecutor(deps.db, request);
  const raw = request.body as { queueNames?: unknown; jobIdsByQueue?: unknown } | null;
  if (!only) {
    checkQueueNames(raw?.queueNames);
    const groups = z.array(z.object({ queueName: z.string() })).safeParse(raw?.jobIdsByQueue);
    if (groups.success) checkQueueNames(groups.data.map((group) => group.queueName));
  }
  const body = bodyAs(heartbeatRequestSchema, request.body);
  if (!only && body.queueNames.length === 0)
    throw new GloveboxError({
      status: 500,
      code: 'invalid_queue',
      message: 'queueNames must be set for multi-queue heartbeats',
    });
  const native = request.headers[protocolHeader] === protocolVersion ? body.glovebox : undefined;
  const seen = await seeExecutor(deps.db, {
    name: body.executorName,
    credentialId,
    version: body.executorVersion ?? body.version,
    native: native !== undefined,
    queues: only ? [only] : body.queueNames,
    tiers: native?.tiers ?? null,
    offer: null,
  });
  if (!seen) throw forbidden('another credential uses this executor name');
  const groups = only ? [{ queueName: only, jobIds: body.jobIds }] : body.jobIdsByQueue;
  const attempts = new Map(native?.leases?.map((held) => [held.jobId, held.attempt]));
  const ids = groups.flatMap((group) => group.jobIds).map((id) => Number.parseInt(String(id), 10));
  const held = ids
    .filter((id) => Number.isSafeInteger(id))
    .map((jobId) => ({ jobId, attempt: attempts.get(jobId) ?? null }));
  const renewed = await renewLeases(deps.db, body.executorName, held);
  const named = (job: { id: number; queue: QueueName }) => (only ? `${job.id}` : `${job.id}-${job.queue}`);
  return {
    knownIds: renewed.map(named),
    cancelIds: renewed.filter((job) => job.cancel_requested).map(named),
  };
}
