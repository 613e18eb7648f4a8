import type { JobTransition, QueueName } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobLease, JobRow } from '../job.ts';
import { changedColumns, insertEvents, rowColumns } from './columns.ts';
import { isLeaseOf, leaseIsValid } from './fence.ts';

/** Why a job is not completed. */
export interface Failure {
  /** Stable, e.g. `lease_lost`, `step_failed`. */
  readonly reason: string;
  readonly message: string;
}

/** A transition other than `lease`, which `takeJob` makes. */
type Move = Exclude<JobTransition, 'lease'>;

/** A job that moved, and who held its lease before. */
interface MovedJob extends JobRow {
  readonly held_by: string | null;
}

/** The longest pause before a retry. */
const longestPauseMs = 3_600_000;

/**
 * Moves jobs as the lifecycle's table says (protocol/lifecycle: the same rules, held together by a differential test), and
 * stores what follows from it: the attempt's end, the event. Returns those that moved, as they are now; a job for which the
 * table refuses is left alone, and so is one that another transaction of `jobs` has taken meanwhile.
 */
async function moveJobs(
  db: Db,
  jobs: RawBuilder<unknown>,
  move: Move,
  failure: Failure | null,
): Promise<MovedJob[]> {
  const { rows } = await sql<MovedJob>`
    with job as (
      select jobs.id, jobs.executor as held_by, resets as resets_before, ${nextState(move)} as next from ${jobs}
    ), moved as (
      update jobs set
        state = next,
        cancel_requested = cancel_requested or ${move} = 'cancel',
        retries = retries + (next = 'errored')::int,
        resets = resets + (next = 'queued')::int,
        executor = case when next = 'processing' then executor end,
        lease_ms = case when next = 'processing' then lease_ms end,
        lease_expires_at = case when next = 'processing' then lease_expires_at end,
        token_sha256 = null,
        process_after = case when next = 'errored' then clock_timestamp() + ${retryPause} end,
        rank_at = case when next = 'errored'
          then clock_timestamp() + ${retryPause} - make_interval(mins => priority) else rank_at end,
        finished_at = case when next in ('completed', 'failed', 'canceled') then clock_timestamp() end,
        -- A job that waits again has not failed; why its attempt ended stays with the attempt.
        reason = case when next in ('queued', 'processing') then null else ${causeOf(move, failure).reason} end,
        message = case when next in ('queued', 'processing') then null else ${causeOf(move, failure).message} end
      from job where jobs.id = job.id and next is not null
      returning held_by, next, resets_before, line_id, ${changedColumns}
    ), back as (
      -- While it ran, its line may have been put aside.
      update lines set busy = true from moved
      where lines.id = line_id and next in ('queued', 'errored') and not busy
    ), ended as (
      insert into attempts (job_id, attempt, executor, outcome, reason, message, started_at, ended_at)
      select id, attempt, held_by, case when ${move} = 'expire' and next <> 'canceled' then 'lost' else next end,
        ${causeOf(move, failure).reason}, ${causeOf(move, failure).message}, started_at, clock_timestamp()
      from moved where held_by is not null and next <> 'processing'
      on conflict (job_id, attempt) do update set
        outcome = excluded.outcome, reason = excluded.reason, message = excluded.message, ended_at = excluded.ended_at
    ), event as (${insertEvents} from moved as moment)
    select ${rowColumns}, held_by from moved as row
  `.execute(db);
  return rows;
}

/** The lifecycle's table; null where it refuses. */
function nextState(move: Move): RawBuilder<unknown> {
  return sql`
    case
      when state in ('queued', 'errored') then case when ${move} = 'cancel' then 'canceled' end
      when state <> 'processing' then null
      when ${move} = 'cancel' then 'processing'
      when cancel_requested then case when ${move} in ('expire', 'release') then 'canceled' end
      when ${move} = 'complete' then 'completed'
      when ${move} = 'error' and retries < max_retries then 'errored'
      when ${move} = 'expire' and resets < max_resets then 'queued'
      when ${move} in ('error', 'expire', 'fail') then 'failed'
    end`;
}

/** `retries` is the number before this one. */
const retryPause = sql`
  make_interval(secs => least(retry_pause_ms * 2.0 ^ least(retries, 30), ${longestPauseMs}) / 1000)`;

/** What is said of the job and of its attempt. */
function causeOf(move: Move, failure: Failure | null) {
  const lost = sql`'its executor ' || held_by || ' was not heard of in time, ' || resets_before + 1 || ' times'`;
  const reason = move === 'expire' ? 'lease_lost' : (failure?.reason ?? null);
  const message = move === 'expire' ? lost : sql`${failure?.message ?? null}::text`;
  return {
    reason: sql`case when next = 'canceled' then 'canceled' else ${reason}::text end`,
    message: sql`case when next = 'canceled' then 'the job was canceled' else ${message} end`,
  };
}

/** Ends a lease as its executor says, if the lease is good. */
export async function markLeased(
  db: Db,
  lease: JobLease,
  move: 'complete' | 'error' | 'fail',
  failure: Failure | null,
): Promise<JobRow | undefined> {
  const held = sql`jobs where ${isLeaseOf(lease)} and ${leaseIsValid} for no key update`;
  return (await moveJobs(db, held, move, failure))[0];
}

/**
 * Ends many good leases as completed, in one statement and one commit. It waits for no row: undefined is a lease that is lost, or
 * one whose job somebody else holds.
 */
export async function completeMany(
  db: Db,
  leases: readonly JobLease[],
): Promise<readonly (JobRow | undefined)[]> {
  const held = sql`
    unnest(
      ${leases.map(({ jobId }) => jobId)}::bigint[], ${leases.map(({ attempt }) => attempt)}::int[],
      ${leases.map(({ executor }) => executor)}::text[]
    ) as lease (id, attempt, executor)
    cross join lateral (
      select * from jobs
      where jobs.id = lease.id and jobs.attempt = lease.attempt and jobs.executor = lease.executor
        and ${leaseIsValid}
      for no key update of jobs skip locked
    ) as jobs`;
  const moved = new Map((await moveJobs(db, held, 'complete', null)).map((job) => [job.id, job]));
  return leases.map(({ jobId, attempt, executor }) => {
    const job = moved.get(jobId);
    if (job?.attempt !== attempt || job.held_by !== executor) return undefined;
    moved.delete(jobId); // said twice, it is lost the second time
    return job;
  });
}

/** Asks for a job's end. */
export async function cancelJob(db: Db, id: number): Promise<JobRow | undefined> {
  return (await moveJobs(db, sql`jobs where id = ${id} for no key update`, 'cancel', null))[0];
}

/** Ends leases that ran out before this, at most `limit`; those that somebody else holds come next time. */
export async function expireJobs(db: Db, before: Date, limit: number): Promise<MovedJob[]> {
  const expired = sql`
    jobs where state = 'processing' and lease_expires_at < ${before}
    order by id limit ${limit} for no key update skip locked`;
  return await moveJobs(db, expired, 'expire', null);
}

/** Ends what was to be canceled and what its executor, in these queues, does not hold any more. */
export async function releaseJobs(
  db: Db,
  executor: string,
  queues: readonly QueueName[],
  held: readonly number[],
): Promise<JobRow[]> {
  const released = sql`
    jobs where executor = ${executor} and state = 'processing' and cancel_requested
    and queue = any(${queues}::text[]) and id <> all(${held}::bigint[])
    order by id for no key update`;
  return await moveJobs(db, released, 'release', null);
}
