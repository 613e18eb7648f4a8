import type { JobPage, JobRecord, listJobsSchema, QueueName, Status } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../../db/connect.ts';
import { idempotencyConflict } from '../../errors.ts';
import type { JobRow } from '../job.ts';
import type { NewJob, Submission } from '../kind.ts';
import { recordOf, type StoredRecord } from '../network.ts';
import { changedColumns, insertEvents } from './events.ts';
import { isLineOf } from './lines.ts';

interface Inserted {
  /** Null where there is no busy line, or the tenant's idempotency key is taken. */
  readonly record: JobRecord | null;
  /** The job's line exists and is busy. */
  readonly hasLine: boolean;
}

/** Inserts a job into its line, with its first event. Inserts nothing when the line has to be opened first (`openLine`). */
export async function insertJob(
  db: Db,
  queue: QueueName,
  job: NewJob,
  submission: Submission,
): Promise<Inserted> {
  const { demand } = job;
  const { tenant, priority, processAfter, retryPauseMs, idempotency } = submission;
  const { rows } = await sql<Omit<Inserted, 'record'> & { record: StoredRecord | null }>`
    with line as (
      select id from lines where ${isLineOf(tenant, queue, demand)} and busy for key share
    ), job as (
      insert into jobs (queue, payload, repository, commit, accept, arch, labels, cpus, memory_mib, scratch_mib,
                        needs_native, needs_version, max_resets, max_retries, takes_input, input_ended, tenant, line_id, priority,
                        rank_at, process_after, retry_pause_ms, deadline_ms, idempotency_key, request_sha256)
      select ${queue}, ${JSON.stringify(job.payload)}::jsonb, ${job.repository}, ${job.commit}, ${demand.accept},
              ${demand.arch}, ${demand.labels}, ${demand.cpus}, ${demand.memoryMiB}, ${demand.scratchMiB},
              ${demand.needsVersion > 0}, ${demand.needsVersion}, ${job.maxResets}, ${job.maxRetries}, ${job.input}, ${!job.input},
              ${tenant}, line.id, ${priority}::int,
              greatest(clock_timestamp(), ${processAfter}::timestamptz) - make_interval(mins => ${priority}::int),
              ${processAfter}, ${retryPauseMs}, ${job.deadlineMs}, ${idempotency?.key ?? null}, ${idempotency?.requestSha256 ?? null}::bytea
      from line
      on conflict (tenant, idempotency_key) where idempotency_key is not null do nothing
      returning job_record(jobs, null) as record, ${changedColumns}
    ), event as (${insertEvents} from job as moment)
    select (select record from job) as record, exists (select from line) as "hasLine"
  `.execute(db);
  const { record, hasLine } = rows[0] as (typeof rows)[number];
  return { record: record && recordOf(record), hasLine };
}

/**
 * Returns the job that an earlier request with this key made. Errors: `idempotency_conflict` if that request was a different
 * one.
 */
export async function findJobByKey(
  db: Db,
  tenant: string,
  { key, requestSha256 }: NonNullable<Submission['idempotency']>,
): Promise<JobRecord | null> {
  const { rows } = await sql<{ record: StoredRecord; same: boolean }>`
    select job_record(jobs, attempts) as record, request_sha256 = ${requestSha256} as same
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where tenant = ${tenant} and idempotency_key = ${key}
  `.execute(db);
  const [found] = rows;
  if (found && !found.same) throw idempotencyConflict();
  return found ? recordOf(found.record) : null;
}

/** Returns a job's row, or undefined if there is no such job. */
export async function readJob(db: Db, id: number): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`select * from jobs where id = ${id}`.execute(db);
  return rows[0];
}

/** Returns a job with its last attempt, as people see it. Its `waiting` is null here: the caller computes it. */
export async function readRecord(db: Db, id: number): Promise<JobRecord | undefined> {
  const { rows } = await sql<{ record: StoredRecord }>`
    select job_record(jobs, attempts) as record
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where jobs.id = ${id}
  `.execute(db);
  return rows[0] && recordOf(rows[0].record);
}

/** Returns a page of jobs, newest first. */
export async function listJobs(db: Db, filter: z.output<typeof listJobsSchema>): Promise<JobPage> {
  const { state = null, queue = null, tenant = null, before = null, limit } = filter;
  const { rows } = await sql<{ record: StoredRecord }>`
    select job_record(jobs, attempts) as record
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where (${state}::text is null or state = ${state}) and (${queue}::text is null or queue = ${queue})
      and (${tenant}::text is null or tenant = ${tenant}) and (${before}::bigint is null or id < ${before})
    order by id desc limit ${limit + 1}
  `.execute(db);
  const jobs = rows.slice(0, limit).map((row) => recordOf(row.record));
  return { jobs, next: rows.length > limit ? (jobs.at(-1)?.id ?? null) : null };
}

/** Counts the waiting jobs of a tenant in all queues, up to `max`. */
export async function countWaiting(db: Db, tenant: string, max: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from (
      select from shares join lines on share_id = shares.id join jobs on line_id = lines.id
      where shares.tenant = ${tenant} and busy and state in ('queued', 'errored')
      limit ${max}
    ) as waiting
  `.execute(db);
  return (rows[0] as { count: number }).count;
}

/** Stores which upload a job made. The transaction holds the job's row. */
export async function setUpload(tx: Db, id: number, uploadId: number): Promise<void> {
  await sql`update jobs set upload_id = ${uploadId} where id = ${id}`.execute(tx);
}

/** Returns how many jobs of all tenants wait, and how many run. */
export async function countJobs(db: Db): Promise<Status['jobs']> {
  const { rows } = await sql<Status['jobs']>`
    select count(*) filter (where state in ('queued', 'errored'))::int as queued,
      count(*) filter (where state = 'processing')::int as processing
    from jobs where state in ('queued', 'errored', 'processing')
  `.execute(db);
  return rows[0] ?? { queued: 0, processing: 0 };
}
