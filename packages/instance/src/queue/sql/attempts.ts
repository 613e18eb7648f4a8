import type { Attempt, jobResultRequestSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

/** Results that one attempt may store. Each is an event of the job; our executor sends one. */
export const resultsMax = 10;

/**
 * Stores what the executor measured while it ran the attempt. A later result replaces an earlier one. Returns false, and stores
 * nothing, beyond `resultsMax`.
 */
export async function saveResult(
  tx: Db,
  job: JobRow,
  result: z.output<typeof jobResultRequestSchema>,
): Promise<boolean> {
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value));
  const { rows } = await sql`
    insert into attempts (job_id, attempt, executor, started_at, tier, vmm, exit_code, guest, inspection, left_over, results)
    values (${job.id}, ${job.attempt}, ${job.executor}, ${job.started_at}, ${result.tier}, ${result.vmm},
            ${result.exitCode}, ${json(result.guest)}::jsonb, ${json(result.inspection)}::jsonb,
            ${json(result.leftOver)}::jsonb, 1)
    on conflict (job_id, attempt) do update set
      tier = excluded.tier, vmm = excluded.vmm, exit_code = excluded.exit_code, guest = excluded.guest,
      inspection = excluded.inspection, left_over = excluded.left_over, results = attempts.results + 1
    where attempts.results < ${resultsMax}
    returning job_id
  `.execute(tx);
  return rows.length === 1;
}

/** Returns a job's attempts, oldest first. One that runs and has no row in `attempts` yet is made from the job's row. */
export async function listAttempts(db: Db, jobId: number): Promise<Attempt[]> {
  const { rows } = await sql<{ attempt: Attempt }>`
    select jsonb_build_object(
      'attempt', attempt, 'executor', executor, 'outcome', outcome,
      'failure', case when reason is not null then
        jsonb_build_object('reason', reason, 'message', coalesce(message, '')) end,
      'tier', tier, 'vmm', vmm, 'exitCode', exit_code, 'startedAt', iso(started_at), 'endedAt', iso(ended_at)
    ) as attempt
    from (
      select attempt, executor, outcome, reason, message, tier, vmm, exit_code, started_at, ended_at
      from attempts where job_id = ${jobId}
      union all
      select attempt, executor, 'processing', null, null, null, null, null, started_at, null from jobs
      where id = ${jobId} and state = 'processing'
        and not exists (select from attempts where job_id = jobs.id and attempts.attempt = jobs.attempt)
    ) as all_attempts
    order by all_attempts.attempt
  `.execute(db);
  return rows.map((row) => row.attempt);
}
