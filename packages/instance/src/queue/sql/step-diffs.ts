import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobLease, JobRow } from '../job.ts';

/** Stores which blob is the diff of a step of an attempt; a later one takes the place of an earlier one. */
export async function storeStepDiff(
  tx: Db,
  { id, attempt }: JobRow,
  { step, digest, bytes }: { readonly step: number; readonly digest: string; readonly bytes: number },
): Promise<void> {
  await sql`
    insert into batch_step_diffs (job_id, attempt, step, digest, bytes) values (${id}, ${attempt}, ${step}, ${digest}, ${bytes})
    on conflict (job_id, attempt, step) do update set digest = excluded.digest, bytes = excluded.bytes
  `.execute(tx);
}

/** Returns the bytes of the diff that an attempt has sent for a step; null if it has not sent this one. */
export async function findStepDiff(
  db: Db,
  { jobId, attempt }: Pick<JobLease, 'jobId' | 'attempt'>,
  { step, diff }: { readonly step: number; readonly diff: string },
): Promise<number | null> {
  const { rows } = await sql<{ bytes: number }>`
    select bytes from batch_step_diffs
    where job_id = ${jobId} and attempt = ${attempt} and step = ${step} and digest = ${diff}
  `.execute(db);
  return rows[0]?.bytes ?? null;
}
