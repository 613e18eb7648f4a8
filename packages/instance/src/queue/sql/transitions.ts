import type { JobTransition, QueueName } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobLease, JobRow } from '../job.ts';
import { changedColumns, insertEvents, rowColumns } from './events.ts';
import { isLeaseOf, leaseIsValid } from './fence.ts';
import { countLosses, forgetLosses } from './losses.ts';

/** Why an attempt did not complete its job. */
export interface Failure {
  /** A stable code, e.g. `lease_lost`, `step_failed`. */
  readonly reason: string;
  readonly message: string;
}

/** Every transition but `lease`, which `leaseJobs` makes. */
type Transition = Exclude<JobTransition, 'lease'>;

/** A job after a transition, with the executor that held its lease before. */
interface ChangedJob extends JobRow {
  readonly held_by: string | null;
}

/** The longest pause before a retry, milliseconds. */
const longestPauseMs = 3_600_000;

/**
 * Applies a transition to the rows that `jobs` selects and locks, and stores its consequences: the end of the attempt, and the
 * event. Returns the jobs that changed, as they are now. A job is left alone if the lifecycle refuses the transition. The rules
 * are those of protocol/src/lifecycle/table.ts; a differential test compares the two.
 */
async function applyTransition(
  db: Db,
  jobs: RawBuilder<unknown>,
  transition: Transition,
  failure: Failure | null,
): Promise<ChangedJob[]> {
  const cause = causeOf(transition, failure);
  const { rows } = await sql<ChangedJob>`
    with job as (
      select jobs.id, jobs.executor as held_by, resets as resets_before, ${nextState(transition)} as next from ${jobs}
    ), changed as (
      update jobs set
        state = next,
        cancel_requested = cancel_requested or ${transition} = 'cancel',
        retries = retries + (next = 'errored')::int,
        resets = resets + (next = 'queued')::int,
        executor = case when next = 'processing' then executor end,
        lease_ms = case when next = 'processing' then lease_ms end,
        lease_expires_at = case when next = 'processing' then lease_expires_at end,
        token_sha256 = case when next = 'processing' then token_sha256 end,
        process_after = case when next = 'errored' then clock_timestamp() + ${retryPause} end,
        rank_at = case when next = 'errored'
          then clock_timestamp() + ${retryPause} - make_interval(mins => priority) else rank_at end,
        finished_at = case when next in ('completed', 'failed', 'canceled') then clock_timestamp() end,
        -- A job that waits again has not failed: its row of attempts says why the attempt ended.
        reason = case when next in ('queued', 'processing') then null else ${cause.reason} end,
        message = case when next in ('queued', 'processing') then null else ${cause.message} end
      from job where jobs.id = job.id and next is not null
      returning held_by, next, resets_before, line_id, ${changedColumns}
    ), reopened_line as (
      -- The reaper may have closed the line while the job ran.
      update lines set busy = true from changed
      where lines.id = line_id and next in ('queued', 'errored') and not busy
    ), ended_attempt as (
      insert into attempts (job_id, attempt, executor, outcome, reason, message, started_at, ended_at)
      select id, attempt, held_by, case when ${transition} = 'expire' and next <> 'canceled' then 'lost' else next end,
        ${cause.reason}, ${cause.message}, started_at, clock_timestamp()
      from changed where held_by is not null and next <> 'processing'
      on conflict (job_id, attempt) do update set
        outcome = excluded.outcome, reason = excluded.reason, message = excluded.message, ended_at = excluded.ended_at
    ), losses as (${lossesAfter(transition)}
    ), event as (${insertEvents} from changed as moment)
    select ${rowColumns}, held_by from changed as row
  `.execute(db);
  return rows;
}

/** Counts a lost lease against its executor, and forgets the losses of one that reports the end of a job. */
function lossesAfter(transition: Transition): RawBuilder<unknown> {
  const executors = sql`select held_by from changed`;
  if (transition === 'expire') return countLosses(executors);
  return ['complete', 'error', 'fail'].includes(transition) ? forgetLosses(executors) : sql`select`;
}

/** The state after the transition, by the lifecycle's table; null where it refuses the transition. */
function nextState(transition: Transition): RawBuilder<unknown> {
  return sql`
    case
      when state in ('queued', 'errored') then case when ${transition} = 'cancel' then 'canceled' end
      when state <> 'processing' then null
      when ${transition} = 'cancel' then 'processing'
      when cancel_requested then case when ${transition} in ('expire', 'release') then 'canceled' end
      when ${transition} = 'complete' then 'completed'
      when ${transition} = 'error' and retries < max_retries then 'errored'
      when ${transition} = 'expire' and resets < max_resets then 'queued'
      when ${transition} in ('error', 'expire', 'fail') then 'failed'
    end`;
}

/** The pause before a retry, doubled with each. `retries` is the number of the job's earlier ones. */
export const pauseBefore = (retries: RawBuilder<unknown>) => sql`
  make_interval(secs => least(retry_pause_ms * 2.0 ^ least(${retries}, 30), ${longestPauseMs}) / 1000)`;
const retryPause = pauseBefore(sql`retries`);

/** The reason and message that are stored with the attempt and, if it does not run again, with the job. */
function causeOf(transition: Transition, failure: Failure | null) {
  const lost = sql`'its executor ' || held_by || ' was not heard of in time, ' || resets_before + 1 || ' times'`;
  const reason = transition === 'expire' ? 'lease_lost' : (failure?.reason ?? null);
  const message = transition === 'expire' ? lost : sql`${failure?.message ?? null}::text`;
  return {
    reason: sql`case when next = 'canceled' then 'canceled' else ${reason}::text end`,
    message: sql`case when next = 'canceled' then 'the job was canceled' else ${message} end`,
  };
}

/** Ends a lease as its executor reports. Returns undefined if the lease is not valid. */
export async function endLease(
  db: Db,
  lease: JobLease,
  transition: 'complete' | 'error' | 'fail',
  failure: Failure | null,
): Promise<JobRow | undefined> {
  const leased = sql`jobs where ${isLeaseOf(lease)} and ${leaseIsValid} for no key update`;
  return (await applyTransition(db, leased, transition, failure))[0];
}

/**
 * Completes the jobs of many leases in one statement and one commit. It waits for no row lock: the answer is undefined for a
 * lease that is not valid, and also for one whose job another transaction holds.
 */
export async function completeLeases(
  db: Db,
  leases: readonly JobLease[],
): Promise<readonly (JobRow | undefined)[]> {
  const leased = sql`
    unnest(
      ${leases.map(({ jobId }) => jobId)}::bigint[], ${leases.map(({ attempt }) => attempt)}::int[],
      ${leases.map(({ executor }) => executor)}::text[]
    ) as lease (id, attempt, executor)
    cross join lateral (
      select * from jobs
      where jobs.id = lease.id and jobs.attempt = lease.attempt and jobs.executor = lease.executor and ${leaseIsValid}
      for no key update of jobs skip locked
    ) as jobs`;
  const completed = new Map(
    (await applyTransition(db, leased, 'complete', null)).map((job) => [job.id, job]),
  );
  return leases.map(({ jobId, attempt, executor }) => {
    const job = completed.get(jobId);
    if (job?.attempt !== attempt || job.held_by !== executor) return undefined;
    completed.delete(jobId); // the same lease twice in one batch: the second one has lost it
    return job;
  });
}

/** Cancels a waiting job, or requests the cancel of a running one. Returns undefined if the job has ended or does not exist. */
export async function cancelJob(db: Db, id: number): Promise<JobRow | undefined> {
  return (await applyTransition(db, sql`jobs where id = ${id} for no key update`, 'cancel', null))[0];
}

/** Ends at most `limit` leases that ran out before `before`. A row that another transaction holds is left for the next call. */
export async function expireJobs(db: Db, before: Date, limit: number): Promise<ChangedJob[]> {
  const expired = sql`
    jobs where state = 'processing' and lease_expires_at < ${before}
    order by id limit ${limit} for no key update skip locked`;
  return await applyTransition(db, expired, 'expire', null);
}

/** How long the steps of an attempt may outlive the job's deadline, and how long everything besides the steps may take. */
export interface Overdue {
  readonly graceMs: number;
  readonly othersMs: number;
}

/**
 * Fails at most `limit` attempts that at `now`, on the database's clock, have outlived the deadline of their job: a step still
 * runs `graceMs` after it, counted from the moment when the instance heard of the first step, or the whole attempt takes
 * `othersMs` longer than that. A row that another transaction holds is left for the next call.
 */
export async function failOverdue(
  db: Db,
  now: Date,
  { graceMs, othersMs }: Overdue,
  failure: Failure,
  limit: number,
): Promise<ChangedJob[]> {
  const deadlineBefore = (ms: number) =>
    sql`${now}::timestamptz - make_interval(secs => (deadline_ms + ${ms}::bigint) / 1000.0)`;
  const overdue = sql`
    jobs where state = 'processing' and started_at < ${deadlineBefore(graceMs)} and (
      started_at < ${deadlineBefore(graceMs + othersMs)}
      or (
        select bool_or(exit_code is null) and min(added_at) < ${deadlineBefore(graceMs)}
        from log_entries where job_id = jobs.id and log_entries.attempt = jobs.attempt and key like 'step.%'
      )
    )
    order by id limit ${limit} for no key update skip locked`;
  return await applyTransition(db, overdue, 'fail', failure);
}

/** Ends the jobs of an executor in these queues whose cancel was requested and which it does not hold any more. */
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
  return await applyTransition(db, released, 'release', null);
}
