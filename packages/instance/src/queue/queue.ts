import type { JobRecord, QueueName } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { JobLease } from '../auth/job.ts';
import { newSecret, secretHash } from '../auth/secret.ts';
import { type Db, wake } from '../db/connect.ts';
import { jobEnded, jobNotFound, leaseLost } from '../errors.ts';
import { type JobRow, type JobWithAttempt, recordOf } from './job.ts';
import type { NewJob, QueueKinds } from './kind.ts';
import { appendJobEvent, moveJob, workTopic } from './move.ts';
import { beginAttempt } from './sql/attempt.ts';
import { insertJob } from './sql/insert.ts';
import { lockExpiredJobs, lockJob, lockLeasedJob } from './sql/lock.ts';
import { readJob } from './sql/read.ts';
import type { Failure } from './sql/save.ts';
import { type Offer, takeJob } from './sql/take.ts';

/** Stores a new job and tells executors that wait. */
export async function enqueue(db: Db, queue: QueueName, job: NewJob): Promise<JobRecord> {
  return await db.transaction().execute(async (tx) => {
    const id = await insertJob(tx, queue, job);
    await appendJobEvent(tx, id);
    await wake(tx, workTopic);
    return recordOf((await readJob(tx, id)) as JobWithAttempt);
  });
}

/** A leased job, and the only copy of its token. */
export interface Leased {
  readonly job: JobRow;
  readonly token: string;
}

/** Leases one job that fits the offer, or null. */
export async function lease(db: Db, offer: Offer, leaseMs: number): Promise<Leased | null> {
  const token = newSecret();
  return await db.transaction().execute(async (tx) => {
    const job = await takeJob(tx, offer, secretHash(token), leaseMs);
    if (!job) return null;
    await beginAttempt(tx, job);
    await appendJobEvent(tx, job.id);
    return { job, token };
  });
}

/**
 * Runs a write of a job route in a transaction that holds the job's row and commits only under a good lease. Nothing of an
 * attempt may be written in another way. Errors: `lease_lost`.
 */
export async function fenced<T>(
  db: Db,
  lease: JobLease,
  write: (tx: Db, job: JobRow) => Promise<T>,
): Promise<T> {
  return await db.transaction().execute(async (tx) => {
    const job = await lockLeasedJob(tx, lease);
    if (!job) throw leaseLost(lease.jobId);
    return await write(tx, job);
  });
}

/** Names the upload that a job left, in the transaction of `fenced` that stores it. */
export async function recordUpload(tx: Db, job: JobRow, uploadId: number): Promise<void> {
  await sql`update jobs set upload_id = ${uploadId} where id = ${job.id}`.execute(tx);
  await appendJobEvent(tx, job.id);
}

/** Ends a lease as its executor says; the token is dead after it. Errors: `lease_lost`. */
export async function mark(
  db: Db,
  kinds: QueueKinds,
  lease: JobLease,
  transition: 'complete' | 'error' | 'fail',
  failure: Failure | null,
): Promise<void> {
  await fenced(db, lease, async (tx, job) => {
    await moveJob(tx, kinds, job, transition, failure);
  });
}

/** Asks for a job's end: at once while it waits, by its executor while it runs. Errors: `job_not_found`, `job_ended`. */
export async function cancel(db: Db, kinds: QueueKinds, id: number): Promise<JobRecord> {
  return await db.transaction().execute(async (tx) => {
    const job = await lockJob(tx, id);
    if (!job) throw jobNotFound(id);
    if (job.state !== 'canceled' && !(await moveJob(tx, kinds, job, 'cancel', null)))
      throw jobEnded(id, job.state);
    return recordOf((await readJob(tx, id)) as JobWithAttempt);
  });
}

/** Ends leases that ran out at least `marginMs` ago: their jobs run again, or have failed. Returns how many. */
export async function expireLeases(db: Db, kinds: QueueKinds, marginMs: number): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    const jobs = await lockExpiredJobs(tx, marginMs, 100);
    for (const job of jobs) {
      await moveJob(tx, kinds, job, 'expire', {
        reason: 'lease_lost',
        message: `its executor ${job.executor} was not heard of in time, ${job.resets + 1} times`,
      });
    }
    return jobs.length;
  });
}
