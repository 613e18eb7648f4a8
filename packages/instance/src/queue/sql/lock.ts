import { sql } from 'kysely';
import { credentialHolds } from '../../auth/executor.ts';
import type { JobLease } from '../../auth/job.ts';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

/** The job's row, held until the transaction ends, whoever asks. */
export async function lockJob(tx: Db, id: number): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`select * from jobs where id = ${id} for update`.execute(tx);
  return rows[0];
}

/** The job's row, held until the transaction ends, if this lease of it is still good. */
export async function lockLeasedJob(tx: Db, lease: JobLease): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`
    select * from jobs
    where id = ${lease.jobId} and attempt = ${lease.attempt} and executor = ${lease.executor}
      and state = 'processing' and not cancel_requested and lease_expires_at > clock_timestamp()
      and ${credentialHolds}
    for update
  `.execute(tx);
  return rows[0];
}
