import type { JobRecord } from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import type { Health } from '../db/health.ts';
import { jobNotFound } from '../errors.ts';
import { ceilingsOfJob } from './sql/ceilings.ts';
import { connectedExecutors } from './sql/executors.ts';
import { readRecord } from './sql/jobs.ts';
import { whyNoExecutorFits } from './waiting.ts';

/** Returns a job's record as it is stored. Errors: `job_not_found`. */
export async function requireRecord(db: Db, id: number): Promise<JobRecord> {
  const record = await readRecord(db, id);
  if (!record) throw jobNotFound(id);
  return record;
}

/**
 * Returns a job's record as of now, with the reason why it cannot start, if there is one. It has none while the database has just been
 * away: executors that could not report would seem to be gone. Errors: `job_not_found`.
 */
export async function currentRecord(
  { db, health }: { readonly db: Db; readonly health: Health },
  id: number,
): Promise<JobRecord> {
  const record = await requireRecord(db, id);
  const waits = (record.state === 'queued' || record.state === 'errored') && health.settled();
  if (!waits) return record;
  const of = { job: record, ceilings: await ceilingsOfJob(db, id) };
  return { ...record, waiting: whyNoExecutorFits(of, await connectedExecutors(db)) };
}
