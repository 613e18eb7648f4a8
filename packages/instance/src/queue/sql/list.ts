import type { Attempt, JobPage, Share } from '@fumehood/protocol';
import type { listJobsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../../db/connect.ts';

/** Jobs from the newest on. */
export async function listJobs(db: Db, filter: z.output<typeof listJobsSchema>): Promise<JobPage> {
  const { state = null, queue = null, tenant = null, before = null, limit } = filter;
  const { rows } = await sql<{ record: JobPage['jobs'][number] }>`
    select job_record(jobs, attempts) as record
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where (${state}::text is null or state = ${state}) and (${queue}::text is null or queue = ${queue})
      and (${tenant}::text is null or tenant = ${tenant}) and (${before}::bigint is null or id < ${before})
    order by id desc limit ${limit + 1}
  `.execute(db);
  const jobs = rows.slice(0, limit).map((row) => row.record);
  return { jobs, next: rows.length > limit ? (jobs.at(-1)?.id ?? null) : null };
}

/** A job's attempts, oldest first; the one that runs is in its job's row until there is something to say of it. */
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
    ) as one
    order by one.attempt
  `.execute(db);
  return rows.map((row) => row.attempt);
}

/** Every share with what waits and what runs in it. */
export async function listShares(db: Db): Promise<Share[]> {
  const { rows } = await sql<Share>`
    select tenant, queue, weight,
      (
        select count(*)::int from (
          select from lines join jobs on line_id = lines.id
          where share_id = shares.id and busy and state in ('queued', 'errored') limit 10000
        ) as counted
      ) as waiting,
      (
        select count(*)::int from jobs where state = 'processing' and line_id in
          (select lines.id from lines where share_id = shares.id)
      ) as running
    from shares order by tenant, queue
  `.execute(db);
  return rows;
}

/** Gives a tenant's jobs in a queue another weight, from their next lease on. */
export async function weighShare(db: Db, tenant: string, queue: string, weight: number): Promise<void> {
  await sql`
    insert into shares (tenant, queue, weight) values (${tenant}, ${queue}, ${weight})
    on conflict (tenant, queue) do update set weight = excluded.weight
  `.execute(db);
}
