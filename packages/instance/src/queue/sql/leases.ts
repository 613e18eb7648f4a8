import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';
import type { Offer } from '../offer.ts';
import { changedColumns, insertEvents, rowColumns } from './events.ts';
import { ceilingList, ceilingsOf } from './ceilings.ts';
import { isPausing } from './losses.ts';

/** A request of an executor for a job, and the lease that it would get. */
export interface LeaseRequest {
  readonly offer: Offer;
  readonly tokenHash: Buffer;
  readonly leaseMs: number;
}

/** The answer to a `LeaseRequest`. */
export interface LeaseAnswer {
  /** Null: no job fits, or the executor may not lease. */
  readonly job: JobRow | null;
  /** The executor may not lease now: it is draining, or it has lost a lease lately. */
  readonly barred: boolean;
  /** False: the executor's name belongs to a credential that is revoked or expired. An unknown name is valid. */
  readonly credentialValid: boolean;
  /** No job was leased because other transactions hold the rows of those that were looked at. */
  readonly contended: boolean;
}

/**
 * Leases a job for each request, in one statement and one commit, as long as there are jobs that fit. All requests have the
 * same `offerKey`. Stride scheduling: the next job is the first one (by `rank_at`) of the share with the smallest pass among
 * those that have a job that fits, and each lease adds 1/weight to the pass of its share.
 *
 * A row that another transaction holds is skipped: the statement looks at `spare` more jobs than there are requests. A barred
 * executor gets no job, and neither does one whose credential is no longer valid.
 */
export async function leaseJobs(
  db: Db,
  requests: readonly LeaseRequest[],
  spare: number,
): Promise<LeaseAnswer[]> {
  const { queues, tiers, arch, labels, free, protocol, egress } = (requests[0] as LeaseRequest).offer;
  const { cpus, memoryMiB, scratchMiB } = free ?? {};
  const column = <T>(pick: (request: LeaseRequest) => T) => requests.map(pick);
  const depth = 2 ** Math.ceil(Math.log2(requests.length + spare));
  const { rows } = await sql<JobRow & Omit<LeaseAnswer, 'job'>>`
    with request as (
      select n, given.executor, token, given.lease_ms, coalesce(draining or ${isPausing}, false) as barred,
        coalesce(credential_is_good(credential), true) as credential_valid
      from unnest(
          ${column(({ offer }) => offer.executor)}::text[], ${column(({ tokenHash }) => tokenHash)}::bytea[],
          ${column(({ leaseMs }) => leaseMs)}::int[]
        ) with ordinality as given (executor, token, lease_ms, n)
      left join executors on name = given.executor
      left join executor_credentials credential on credential.id = credential_id
    ), eligible as (
      select *, row_number() over (order by n) as place from request where credential_valid and not barred
    ), candidate as (
      -- The pass that the share will have when it is the turn of this job.
      select share_id, id, pass + (row_number() over (partition by share_id order by rank_at, id) - 1) / weight as turn
      from (
        select share_id, pass, weight, job.id, rank_at
        from (
          select share_id, pass, weight, array_agg(lines.id) as lines
          from lines join shares on shares.id = share_id
          cross join lateral (select min((policy ->> 'mode')::egress_mode) as mode ${ceilingsOf('shares')}) as ceiling
          where busy and queue = any(${queues}::text[]) and accept && ${tiers}::text[]
            and (arch is null or arch = ${arch}::text) and labels <@ array_append(${labels}::text[], variant)
            and coalesce(needs_version, needs_native::int) <= ${protocol}::int
            and least(
              coalesce(lines.egress, case when needs_native then 'none'::egress_mode else 'public' end), ceiling.mode
            )::text = any(${egress}::text[])
            and (not uses_broker or 'allow' = any(${egress}::text[]))
            and cpus <= coalesce(${cpus ?? null}::int, cpus)
            and memory_mib <= coalesce(${memoryMiB ?? null}::int, memory_mib)
            and scratch_mib <= coalesce(${scratchMiB ?? null}::int, scratch_mib)
          group by share_id, pass, weight
          order by pass, share_id
        ) as share
        cross join lateral (
          select job.id, rank_at from unnest(share.lines) as line (id)
          cross join lateral (
            -- The limit is a literal, a power of two so that there are few statements: the planner has to know that it is small,
            -- because a line may have a million jobs.
            select jobs.id, rank_at from jobs where line_id = line.id and ${mayStart}
            order by rank_at, jobs.id limit ${sql.lit(depth)}
          ) as job
          order by rank_at, job.id limit ${sql.lit(depth)}
        ) as job
        -- Share by share, and no more than all requests together could need.
        limit ${depth * requests.length}
      ) as job
    ), locked as (
      select job.id, share_id, turn from (select * from candidate order by turn, share_id) as first
      cross join lateral (
        select jobs.id from jobs where jobs.id = first.id and ${mayStart} for update skip locked
      ) as job
      limit (select count(*) from eligible)
    ), leased as (
      update jobs set
        state = 'processing', attempt = attempt + 1, executor = eligible.executor, token_sha256 = token,
        lease_ms = eligible.lease_ms,
        lease_expires_at = clock_timestamp() + make_interval(secs => eligible.lease_ms / 1000.0),
        started_at = clock_timestamp(), finished_at = null, process_after = null, reason = null, message = null,
        egress_ceilings = ${ceilingList('jobs')}
      from (select id, share_id, row_number() over (order by turn, share_id) as place from locked) as placed
      join eligible using (place)
      where jobs.id = placed.id
      returning n, share_id, ${changedColumns}
    ), locked_share as (
      -- In the order of their ids, like every statement that locks several shares: no deadlock.
      select shares.id from shares where id in (select share_id from leased) order by id for no key update
    ), charged as (
      update shares set pass = pass + leased.count / weight
      from locked_share
      join (select share_id, count(*) from leased group by share_id) as leased on leased.share_id = locked_share.id
      where shares.id = locked_share.id
    ), event as (${insertEvents} from leased as moment)
    select ${rowColumns}, request.barred, request.credential_valid as "credentialValid",
      row.id is null
        and (select count(*) from locked) < least((select count(*) from eligible), (select count(*) from candidate))
        as contended
    from request left join leased as row using (n) order by n
  `.execute(db);
  return rows.map(({ barred, credentialValid, contended, ...job }) => ({
    ...{ barred, credentialValid, contended },
    job: job.id === null ? null : job,
  }));
}

/** True of a row of `jobs` that waits for nothing but an executor. */
const mayStart = sql`
  state in ('queued', 'errored') and rank_at <= now() and (process_after is null or process_after <= now())`;

/** Returns the database's wall clock, on which leases are counted, in milliseconds since 1970. */
export async function databaseTime(db: Db): Promise<number> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
  return (rows[0] as { now: Date }).now.getTime();
}
