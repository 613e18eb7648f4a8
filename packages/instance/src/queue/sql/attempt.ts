import type { JobResultRequest } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';
import type { Failure } from './save.ts';

/** The attempt that a lease begins. */
export async function beginAttempt(tx: Db, job: JobRow): Promise<void> {
  await sql`
    insert into attempts (job_id, attempt, executor) values (${job.id}, ${job.attempt}, ${job.executor})
  `.execute(tx);
}

/** How the job's attempt ended; it stays when another one follows. */
export async function endAttempt(
  tx: Db,
  job: JobRow,
  outcome: string,
  failure: Failure | null,
): Promise<void> {
  await sql`
    update attempts set outcome = ${outcome}, ended_at = clock_timestamp(),
      reason = ${failure?.reason ?? null}, message = ${failure?.message ?? null}
    where job_id = ${job.id} and attempt = ${job.attempt}
  `.execute(tx);
}

/** What the executor measured of its run. */
export async function saveResult(tx: Db, job: JobRow, result: JobResultRequest): Promise<void> {
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value));
  await sql`
    update attempts set tier = ${result.tier}, vmm = ${result.vmm}, exit_code = ${result.exitCode},
      guest = ${json(result.guest)}::jsonb, inspection = ${json(result.inspection)}::jsonb,
      left_over = ${json(result.leftOver)}::jsonb
    where job_id = ${job.id} and attempt = ${job.attempt}
  `.execute(tx);
}
