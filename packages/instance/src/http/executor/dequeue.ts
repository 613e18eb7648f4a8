import { GloveboxError } from '@glovebox/base';
import { dequeueRequestSchema, type Job, type QueueName, type Tier } from '@glovebox/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  authenticateExecutor,
  type ExecutorCredential,
  requireGood,
  requireQueues,
} from '../../auth/executor.ts';
import { forbidden } from '../../errors.ts';
import { workTopic } from '../../db/topics.ts';
import { type Leased, lease, mark } from '../../queue/queue.ts';
import { seeExecutor, touchExecutor } from '../../queue/sql/executors.ts';
import type { Offer } from '../../queue/sql/take.ts';
import { goneSignal } from '../closed.ts';
import type { HttpDeps } from '../deps.ts';
import { bodyAs } from './body.ts';
import { checkQueueNames, isNative } from './queues.ts';

/** How long a lease is good after a heartbeat: ours beat every 2 s, upstream's every 5 s (reference §4.4). */
const nativeLeaseMs = 10_000;
const upstreamLeaseMs = 25_000;
/** An executor that does not say what it has: the weakest, so that nothing runs in less than it accepts. */
const unsaidTiers: readonly Tier[] = ['container'];
/** Leases a job to an executor, on one queue's own route (`only`) or on that of all. */
export async function dequeue(
  deps: HttpDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  only: QueueName | null,
): Promise<FastifyReply> {
  const credential = await authenticateExecutor(deps.db, request);
  if (!only) checkQueueNames((request.body as { queues?: unknown } | null)?.queues);
  const body = bodyAs(dequeueRequestSchema, request.body);
  const native = isNative(request) ? body.glovebox : undefined;
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
  const free = native && {
    cpus: native.freeCpus,
    memoryMiB: native.freeMemoryMiB,
    scratchMiB: native.freeScratchMiB,
  };
  const offer: Offer = {
    executor: body.executorName,
    queues,
    tiers,
    arch: native?.arch ?? null,
    labels: native?.labels ?? [],
    free: free ?? null,
    native: native !== undefined,
  };
  const leaseMs = native ? nativeLeaseMs : upstreamLeaseMs;
  const gone = goneSignal(reply, deps.stopping);
  const leased = await leaseOrWait(deps, credential, offer, leaseMs, native?.waitMs ?? 0, gone);
  if (!leased) return reply.code(204).send();
  const job = await wireJob(deps, leased, body.version !== '', native ? leaseMs : null);
  return reply.send(only ? { ...job, queue: undefined } : job);
}

/** Leases a job, now or as soon as there is one within `waitMs`. */
async function leaseOrWait(
  deps: HttpDeps,
  credential: ExecutorCredential,
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
      if (round > 1) await requireGood(db, credential);
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
