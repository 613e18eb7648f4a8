import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobLease, JobRow } from '../job.ts';
import { isLeaseOf, leaseIsValid } from './fence.ts';

/** The job's row, held until the transaction ends, whoever asks. */
export async function lockJob(tx: Db, id: number): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`select * from jobs where id = ${id} for update`.execute(tx);
  return rows[0];
}

/** The job's row, held until the transaction ends, if this lease of it is still good. */
export async function lockLeasedJob(tx: Db, lease: JobLease): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`
    select * from jobs where ${isLeaseOf(lease)} and ${leaseIsValid} for update
  `.execute(tx);
  return rows[0];
}
