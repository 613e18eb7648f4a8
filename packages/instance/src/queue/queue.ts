import type { JobRecord, QueueName } from '@fumehood/protocol';
import { hasEnded } from '@fumehood/protocol';
import { sql } from 'kysely';
import { newSecret, secretHash } from '../auth/secret.ts';
import type { Db } from '../db/connect.ts';
import { transaction, wake } from '../db/transaction.ts';
import { batched } from '../db/batch.ts';
import { executorTopic, jobTopic, workTopic } from '../db/topics.ts';
import {
  idempotencyConflict,
  jobEnded,
  jobNotFound,
  leaseLost,
  tooManyQueued,
  unauthorized,
} from '../errors.ts';
import type { JobLease, JobRow } from './job.ts';
import type { NewJob, Order, QueueKinds } from './kind.ts';
import { hasRoom } from './room.ts';
import { type Beat, type Beaten, renewMany } from './sql/beats.ts';
import { seeExecutor } from './sql/executors.ts';
import { findByKey } from './sql/find.ts';
import { insertJob } from './sql/insert.ts';
import { openLine } from './sql/lines.ts';
import { lockLeasedJob } from './sql/lock.ts';
import { cancelJob, completeMany, expireJobs, type Failure, markLeased, releaseJobs } from './sql/move.ts';
import { insertJobEvent, readRecord } from './sql/read.ts';
import { renewLeases } from './sql/renew.ts';
import { type Asking, type Offer, offerKey, type Taken, takeJobs } from './sql/take.ts';

/** Jobs of one tenant that may wait at once, unless the instance is told another number. */
export const queuedMax = 10_000;

/**
 * Stores a new job and tells executors that wait. A repeat of a request by its idempotency key returns the job that the first
 * one made. Errors: `idempotency_conflict`, `too_many_queued` (requests at the same moment, and those at many replicas, may
 * exceed the bound a little).
 */
export async function enqueue(
  db: Db,
  queue: QueueName,
  job: NewJob,
  order: Order,
  bound = queuedMax,
): Promise<JobRecord> {
  const known = order.idempotency && (await findByKey(db, order.tenant, order.idempotency));
  if (known) return known;
  if (!(await hasRoom(db, order.tenant, bound))) throw tooManyQueued(order.tenant, bound);
  let made = await insertJob(db, queue, job, order);
  while (!made.lined) {
    await openLine(db, order.tenant, queue, job.demand);
    made = await insertJob(db, queue, job, order);
  }
  if (made.record) {
    wake(db, workTopic);
    return made.record;
  }
  // The same request came twice at once, and the other one was first.
  const other = order.idempotency && (await findByKey(db, order.tenant, order.idempotency));
  if (!other) throw idempotencyConflict();
  return other;
}

/** A leased job, and the only copy of its token. */
export interface Leased {
  readonly job: JobRow;
  readonly token: string;
}

/**
 * Leases one job that fits the offer, unless its executor is to lease none. Leases for equal offers that come close together are
 * one commit. Errors: `unauthorized`.
 */
export async function lease(db: Db, offer: Offer, leaseMs: number): Promise<Leased | 'nothing' | 'draining'> {
  const token = newSecret();
  const asking = { offer, tokenHash: secretHash(token), leaseMs };
  const near = await takeTogether(db, asking);
  const { job, draining, good } = near.contended ? await takeFurther(db, asking) : near;
  if (!good) throw unauthorized('');
  if (!job) return draining ? 'draining' : 'nothing';
  wake(db, jobTopic(job.id));
  return { job, token };
}

const takeTogether = batched<Asking, Taken>(50, (db, askings) => takeJobs(db, askings, 8), offerKey);
const takeFurther = batched<Asking, Taken>(50, (db, askings) => takeJobs(db, askings, 1_000), offerKey);

/**
 * Runs a write of a job route in a transaction that holds the job's row and commits only under a good lease. Nothing of an
 * attempt may be written in another way. Errors: `lease_lost`.
 */
export async function fenced<T>(
  db: Db,
  lease: JobLease,
  write: (tx: Db, job: JobRow) => Promise<T>,
): Promise<T> {
  return await transaction(db, async (tx) => {
    const job = await lockLeasedJob(tx, lease);
    if (!job) throw leaseLost(lease.jobId);
    return await write(tx, job);
  });
}

/** Tells those who follow a job what it is now, in a transaction that holds its row. */
export async function tellOfJob(tx: Db, id: number): Promise<void> {
  await insertJobEvent(tx, id);
  wake(tx, jobTopic(id));
}

/** Names the upload that a job left, in the transaction of `fenced` that stores it. */
export async function recordUpload(tx: Db, job: JobRow, uploadId: number): Promise<void> {
  await sql`update jobs set upload_id = ${uploadId} where id = ${job.id}`.execute(tx);
  await tellOfJob(tx, job.id);
}

/**
 * Ends a lease as its executor says; the token is dead after it. Ends of jobs that completed close together are one commit, where
 * their kind has nothing to store with them. Errors: `lease_lost`.
 */
export async function mark(
  db: Db,
  kinds: QueueKinds,
  lease: JobLease,
  transition: 'complete' | 'error' | 'fail',
  failure: Failure | null,
): Promise<void> {
  if (transition === 'complete' && !kinds.get(lease.queue)?.ended) {
    const job = await completeTogether(db, lease);
    if (job) return await told(db, kinds, job);
  }
  const job = await moving(db, kinds, lease.queue, async (tx) => markLeased(tx, lease, transition, failure));
  if (!job) throw leaseLost(lease.jobId);
}

const completeTogether = batched(50, completeMany);

/** Asks for a job's end: at once while it waits, by its executor while it runs. Errors: `job_not_found`, `job_ended`. */
export async function cancel(db: Db, kinds: QueueKinds, id: number): Promise<JobRecord> {
  return await transaction(db, async (tx) => {
    const job = await cancelJob(tx, id);
    if (job) await told(tx, kinds, job);
    if (job?.executor) wake(tx, executorTopic(job.executor));
    const record = await readRecord(tx, id);
    if (!record) throw jobNotFound(id);
    if (!job && record.state !== 'canceled') throw jobEnded(id, record.state);
    return record;
  });
}

/**
 * Keeps what an executor says of itself, renews its leases, and ends what was to be canceled and what it does not hold any more.
 * Heartbeats that come close together are one commit. Null: its name belongs to another credential.
 */
export async function heartbeat(db: Db, kinds: QueueKinds, beat: Beat): Promise<Beaten | null> {
  const batched = beat.held.length <= heldMax ? await renewTogether(db, beat) : null;
  const beaten = batched ?? (await renewAlone(db, beat));
  if (!beaten?.canceling) return beaten;
  const { name, queues } = beat.seen;
  await transaction(db, async (tx) => {
    const ids = beat.held.map((one) => one.jobId);
    for (const job of await releaseJobs(tx, name, queues, ids)) await told(tx, kinds, job);
  });
  return beaten;
}

const renewTogether = batched(250, renewMany);
/** One that names more jobs than anybody runs does not hold up others. */
const heldMax = 1_000;

async function renewAlone(db: Db, { seen, held }: Beat): Promise<Beaten | null> {
  const known = await seeExecutor(db, seen);
  return known && { ...known, ...(await renewLeases(db, seen.name, seen.queues, held)) };
}

/** Ends leases that ran out before this, of the database's clock: their jobs run again, or have failed. Returns how many. */
export async function expireLeases(db: Db, kinds: QueueKinds, before: Date): Promise<number> {
  return await transaction(db, async (tx) => {
    const jobs = await expireJobs(tx, before, 100);
    for (const job of jobs) {
      await told(tx, kinds, job);
      if (job.held_by !== null) wake(tx, executorTopic(job.held_by));
    }
    return jobs.length;
  });
}

/** One statement where the kind has nothing to store with it. */
async function moving(
  db: Db,
  kinds: QueueKinds,
  queue: QueueName,
  move: (db: Db) => Promise<JobRow | undefined>,
): Promise<JobRow | undefined> {
  const run = async (tx: Db) => {
    const job = await move(tx);
    if (job) await told(tx, kinds, job);
    return job;
  };
  return kinds.get(queue)?.ended ? await transaction(db, run) : await run(db);
}

/** What follows from a move beyond its row. */
async function told(tx: Db, kinds: QueueKinds, job: JobRow): Promise<void> {
  wake(tx, jobTopic(job.id));
  if (hasEnded(job.state)) await kinds.get(job.queue)?.ended?.(tx, job);
  else if (job.state !== 'processing') wake(tx, workTopic);
}
