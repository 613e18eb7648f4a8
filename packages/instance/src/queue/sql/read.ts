import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobWithAttempt } from '../job.ts';

/** A job with its last attempt. */
export async function readJob(db: Db, id: number): Promise<JobWithAttempt | undefined> {
  const { rows } = await sql<JobWithAttempt>`
    select jobs.*, attempts.executor as attempt_executor, tier, vmm, exit_code, guest, inspection, left_over
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where jobs.id = ${id}
  `.execute(db);
  return rows[0];
}
