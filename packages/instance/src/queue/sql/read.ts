import type { JobRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

/** Returns a job's row; undefined for one that does not exist. */
export async function readJob(db: Db, id: number): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`select * from jobs where id = ${id}`.execute(db);
  return rows[0];
}

/** A job with its last attempt, as people see it, but for why it waits. */
export async function readRecord(db: Db, id: number): Promise<JobRecord | undefined> {
  const { rows } = await sql<{ record: JobRecord }>`
    select job_record(jobs, attempts) as record
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where jobs.id = ${id}
  `.execute(db);
  return rows[0]?.record;
}

/**
 * The job as it is now, as an event; the caller holds its row. Whole, unlike those of moves: what its attempt found may be told
 * again while it runs, and an event stays as it was.
 */
export async function insertJobEvent(tx: Db, id: number): Promise<void> {
  await sql`
    insert into job_events (job_id, type, body)
    select jobs.id, 'job', jsonb_build_object('type', 'job', 'job', job_record(jobs, attempts))
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where jobs.id = ${id}
  `.execute(tx);
}
