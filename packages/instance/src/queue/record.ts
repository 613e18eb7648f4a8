import type { JobRecord } from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import { jobNotFound } from '../errors.ts';
import { connectedExecutors } from './sql/executors.ts';
import { readRecord } from './sql/jobs.ts';
import { whyNoExecutorFits } from './waiting.ts';

/** Returns a job's record as it is stored. Errors: `job_not_found`. */
export async function requireRecord(db: Db, id: number): Promise<JobRecord> {
  const record = await readRecord(db, id);
  if (!record) throw jobNotFound(id);
  return record;
}

/** Returns a job's record as of now, with the reason why it cannot start, if there is one. Errors: `job_not_found`. */
export async function currentRecord(db: Db, id: number): Promise<JobRecord> {
  const record = await requireRecord(db, id);
  const waits = record.state === 'queued' || record.state === 'errored';
  return waits ? { ...record, waiting: whyNoExecutorFits(record, await connectedExecutors(db)) } : record;
}
