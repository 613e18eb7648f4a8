import { hasEnded, type JobRecord, type QueueName } from '@fumehood/protocol';
import { newSecret, secretHash } from '../auth/secret.ts';
import { batched } from '../db/batch.ts';
import type { Db } from '../db/connect.ts';
import { executorTopic, jobTopic, workTopic } from '../db/topics.ts';
import { transaction, wake } from '../db/transaction.ts';
import {
  idempotencyConflict,
  jobEnded,
  jobNotFound,
  leaseLost,
  tooManyQueued,
  unauthorized,
} from '../errors.ts';
import type { JobLease, JobRow } from './job.ts';
import type { NewJob, QueueKinds, Submission } from './kind.ts';
import { type Offer, offerKey } from './offer.ts';
import { hasRoom } from './room.ts';
import { insertJobEvent } from './sql/events.ts';
import { recordExecutor } from './sql/executors.ts';
import { type leaseIsValid, lockLeasedJob } from './sql/fence.ts';
import { type Heartbeat, type HeartbeatResult, renewLeases, renewMany } from './sql/heartbeats.ts';
import { findJobByKey, insertJob, readRecord, setUpload } from './sql/jobs.ts';
import { type LeaseAnswer, leaseJobs, type LeaseRequest } from './sql/leases.ts';
import { openLine } from './sql/lines.ts';
import {
  cancelJob,
  completeLeases,
  endLease,
  expireJobs,
  type Failure,
  failOverdue,
  type Overdue,
  releaseJobs,
} from './sql/transitions.ts';

/** The default bound on the waiting jobs of one tenant. */
export const queuedMax = 10_000;

/**
 * Stores a new job and wakes waiting executors. A repeated request with the same idempotency key returns the job that the first
 * one made. Errors: `idempotency_conflict`, `too_many_queued` (requests that come at the same moment, and those at several
 * replicas, may exceed the bound a little).
 */
export async function enqueue(
  db: Db,
  queue: QueueName,
  job: NewJob,
  submission: Submission,
  bound = queuedMax,
): Promise<JobRecord> {
  const { tenant, idempotency } = submission;
  const earlier = idempotency && (await findJobByKey(db, tenant, idempotency));
  if (earlier) return earlier;
  if (!(await hasRoom(db, tenant, bound))) throw tooManyQueued(tenant, bound);
  let inserted = await insertJob(db, queue, job, submission);
  while (!inserted.hasLine) {
    await openLine(db, tenant, queue, job.demand);
    inserted = await insertJob(db, queue, job, submission);
  }
  if (inserted.record) {
    wake(db, workTopic);
    return inserted.record;
  }
  // The same request came twice at the same time, and the other one was first.
  const concurrent = idempotency && (await findJobByKey(db, tenant, idempotency));
  if (!concurrent) throw idempotencyConflict();
  return concurrent;
}

/** A leased job, and the only copy of its token. */
export interface Leased {
  readonly job: JobRow;
  readonly token: string;
}

/**
 * Leases one job that fits the offer. Returns `barred` for an executor that may not lease: it is draining, or has lost a lease
 * lately. Leases for equal offers that come close together are one commit. Errors: `unauthorized`.
 */
export async function lease(db: Db, offer: Offer, leaseMs: number): Promise<Leased | 'nothing' | 'barred'> {
  const token = newSecret();
  const request = { offer, tokenHash: secretHash(token), leaseMs };
  const first = await leaseBatched(db, request);
  // Other transactions hold all jobs that were looked at: look further.
  const { job, barred, credentialValid } = first.contended ? await leaseFurther(db, request) : first;
  if (!credentialValid) throw unauthorized('');
  if (!job) return barred ? 'barred' : 'nothing';
  wake(db, jobTopic(job.id));
  return { job, token };
}

const batchedLease = (spare: number) =>
  batched<LeaseRequest, LeaseAnswer>(
    50,
    (db, requests) => leaseJobs(db, requests, spare),
    ({ offer }) => offerKey(offer),
  );
const leaseBatched = batchedLease(8);
const leaseFurther = batchedLease(1_000);

/**
 * Runs `write` in a transaction that has locked the job's row and passed the fence. Every write under a job's token must use this
 * function, `lockLeasedJob` or `mark`. `fence` is `leaseIsValid` by default. Errors: `lease_lost`.
 */
export async function fenced<T>(
  db: Db,
  lease: JobLease,
  write: (tx: Db, job: JobRow) => Promise<T>,
  fence?: typeof leaseIsValid,
): Promise<T> {
  return await transaction(db, async (tx) => {
    const job = await lockLeasedJob(tx, lease, fence);
    if (!job) throw leaseLost(lease.jobId);
    return await write(tx, job);
  });
}

/** Publishes the job as it is now to those who follow it. The transaction holds the job's row. */
export async function publishJob(tx: Db, id: number): Promise<void> {
  await insertJobEvent(tx, id);
  wake(tx, jobTopic(id));
}

/** Stores which upload a job made, in the transaction of `fenced` that stores the upload. */
export async function recordUpload(tx: Db, job: JobRow, uploadId: number): Promise<void> {
  await setUpload(tx, job.id, uploadId);
  await publishJob(tx, job.id);
}

/**
 * Ends a lease as its executor reports; its token is dead afterwards. Completions that come close together are one commit, unless
 * the job's kind has an `ended` hook. Errors: `lease_lost`.
 */
export async function mark(
  db: Db,
  kinds: QueueKinds,
  lease: JobLease,
  transition: 'complete' | 'error' | 'fail',
  failure: Failure | null,
): Promise<void> {
  const hasHook = kinds.get(lease.queue)?.ended !== undefined;
  if (transition === 'complete' && !hasHook) {
    const job = await completeBatched(db, lease);
    if (job) return await runEffects(db, kinds, job);
  }
  const end = async (tx: Db) => {
    const job = await endLease(tx, lease, transition, failure);
    if (!job) throw leaseLost(lease.jobId);
    await runEffects(tx, kinds, job);
  };
  // Without a hook one statement does it all, and needs no transaction around it.
  await (hasHook ? transaction(db, end) : end(db));
}

const completeBatched = batched(50, completeLeases);

/**
 * Cancels a job: at once while it waits. While it runs its token is good for its log alone from now on, and its executor is asked to
 * end it. Errors:
 * `job_not_found`, `job_ended`.
 */
export async function cancel(db: Db, kinds: QueueKinds, id: number): Promise<JobRecord> {
  return await transaction(db, async (tx) => {
    const job = await cancelJob(tx, id);
    if (job) await runEffects(tx, kinds, job);
    if (job?.executor) wake(tx, executorTopic(job.executor));
    const record = await readRecord(tx, id);
    if (!record) throw jobNotFound(id);
    if (!job && record.state !== 'canceled') throw jobEnded(id, record.state);
    return record;
  });
}

/**
 * Stores what an executor reports of itself, renews its leases, and ends canceled jobs that it does not name any more. Heartbeats
 * that come close together are one commit. Errors: those of `recordExecutor`.
 */
export async function recordHeartbeat(
  db: Db,
  kinds: QueueKinds,
  request: Heartbeat,
): Promise<HeartbeatResult> {
  const fromBatch = request.held.length <= batchedHeldMax ? await renewBatched(db, request) : null;
  const result = fromBatch ?? (await renewAlone(db, request));
  if (!result.canceling) return result;
  const { name, queues } = request.report;
  await transaction(db, async (tx) => {
    const ids = request.held.map(({ jobId }) => jobId);
    for (const job of await releaseJobs(tx, name, queues, ids)) await runEffects(tx, kinds, job);
  });
  return result;
}

const renewBatched = batched(250, renewMany);
/** A heartbeat that names more jobs than any executor runs is not batched, so that it does not delay others. */
const batchedHeldMax = 1_000;

async function renewAlone(db: Db, { report, held }: Heartbeat): Promise<HeartbeatResult> {
  const executor = await recordExecutor(db, report);
  return { ...executor, ...(await renewLeases(db, report.name, report.queues, held)) };
}

/**
 * Ends leases that ran out before `before` on the database's clock: their jobs are queued again, or have failed. Returns how many
 * leases it ended, at most 100.
 */
export async function expireLeases(db: Db, kinds: QueueKinds, before: Date): Promise<number> {
  return await transaction(db, async (tx) => {
    const jobs = await expireJobs(tx, before, 100);
    for (const job of jobs) {
      await runEffects(tx, kinds, job);
      if (job.held_by !== null) wake(tx, executorTopic(job.held_by));
    }
    return jobs.length;
  });
}

/** Steps may outlive the deadline by this much: the executor ends them at the deadline, and reports that. */
const overdue: Overdue = {
  graceMs: 60_000,
  // To fetch an image, to boot, and to upload: the executor bounds each of them.
  othersMs: 7_200_000,
};

/** Fails attempts that have outlived the deadline of their job at `now`, at most 100. Returns how many. */
export async function endOverdue(
  db: Db,
  kinds: QueueKinds,
  now: Date,
  limits: Overdue = overdue,
): Promise<number> {
  const failure = {
    reason: 'deadline',
    message: 'its executor has not ended it at its deadline, so the instance ended the attempt',
  };
  return await transaction(db, async (tx) => {
    const jobs = await failOverdue(tx, now, limits, failure, 100);
    for (const job of jobs) {
      await runEffects(tx, kinds, job);
      if (job.held_by !== null) wake(tx, executorTopic(job.held_by));
    }
    return jobs.length;
  });
}

/**
 * Does what follows from a transition beyond the job's row: wakes those who wait for the job or for work and, when the job has
 * ended, runs its kind's `ended` hook. The hook writes: if there is one, `tx` is the transaction of the transition.
 */
async function runEffects(tx: Db, kinds: QueueKinds, job: JobRow): Promise<void> {
  wake(tx, jobTopic(job.id));
  if (hasEnded(job.state)) await kinds.get(job.queue)?.ended?.(tx, job);
  else if (job.state !== 'processing') wake(tx, workTopic);
}
