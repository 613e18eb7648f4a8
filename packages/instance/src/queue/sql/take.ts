import type { Arch, QueueName, Tier } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';
import { changedColumns, insertEvents, rowColumns } from './columns.ts';

/** What an executor that asks for work can run. */
export interface Offer {
  readonly executor: string;
  readonly queues: readonly QueueName[];
  readonly tiers: readonly Tier[];
  /** Null: it did not say, so it gets only jobs that run on any. */
  readonly arch: Arch | null;
  readonly labels: readonly string[];
  /** Null: it did not say, so nothing is too big for it. */
  readonly free: { readonly cpus: number; readonly memoryMiB: number; readonly scratchMiB: number } | null;
  readonly native: boolean;
}

/** Nothing fits `less` that does not fit `more`. */
export function covers(more: Offer, less: Offer): boolean {
  const within = (few: readonly string[], many: readonly string[]) => few.every((one) => many.includes(one));
  const fits =
    more.free === null ||
    (less.free !== null &&
      less.free.cpus <= more.free.cpus &&
      less.free.memoryMiB <= more.free.memoryMiB &&
      less.free.scratchMiB <= more.free.scratchMiB);
  return (
    fits &&
    within(less.queues, more.queues) &&
    within(less.tiers, more.tiers) &&
    within(less.labels, more.labels) &&
    (less.arch === null || less.arch === more.arch) &&
    (more.native || !less.native)
  );
}

/** An executor asks for a job, and what its lease would be. */
export interface Asking {
  readonly offer: Offer;
  readonly tokenHash: Buffer;
  readonly leaseMs: number;
}

/** Askings with the same key have the same offer, but for who asks. */
export function offerKey({ offer }: Asking): string {
  return JSON.stringify({ ...offer, executor: '' });
}

/** What became of an offer. */
export interface Taken {
  /** Null: none fits, or its executor may have none. */
  readonly job: JobRow | null;
  readonly draining: boolean;
  /** Whatever its executor's name belongs to is good; so is a name that nobody knows. */
  readonly good: boolean;
  /** There is no job because others hold those that were looked at. */
  readonly contended: boolean;
}

/**
 * Leases a job for each of `askings`, of one `offerKey`, in one statement and one commit, as far as there are jobs that fit: of
 * the shares with a fitting job the one furthest behind, and in it the job that comes first; then of the one that is furthest
 * behind now. A row that somebody else holds is passed over: `spare` more jobs than are asked for are looked at. An executor that
 * is draining gets none, nor does one whose credential is no longer good.
 */
export async function takeJobs(db: Db, askings: readonly Asking[], spare: number): Promise<Taken[]> {
  const { queues, tiers, arch, labels, free, native } = (askings[0] as Asking).offer;
  const { cpus, memoryMiB, scratchMiB } = free ?? {};
  const of = <T>(pick: (asking: Asking) => T) => askings.map(pick);
  const depth = 2 ** Math.ceil(Math.log2(askings.length + spare));
  const { rows } = await sql<JobRow & Omit<Taken, 'job'>>`
    with asker as (
      select n, asked.executor, token, asked.lease_ms, coalesce(draining, false) as draining,
        coalesce(credential_is_good(credential), true) as good
      from unnest(
          ${of(({ offer }) => offer.executor)}::text[], ${of(({ tokenHash }) => tokenHash)}::bytea[],
          ${of(({ leaseMs }) => leaseMs)}::int[]
        ) with ordinality as asked (executor, token, lease_ms, n)
      left join executors on name = asked.executor
      left join executor_credentials credential on credential.id = credential_id
    ), seat as (
      select *, row_number() over (order by n) as place from asker where good and not draining
    ), waiting as (
      select share_id, id, pass + (row_number() over (partition by share_id order by rank_at, id) - 1) / weight as turn
      from (
        select share_id, pass, weight, job.id, rank_at
        from (
          select share_id, pass, weight, array_agg(lines.id) as lines
          from lines join shares on shares.id = share_id
          where busy and queue = any(${queues}::text[]) and accept && ${tiers}::text[]
            and (arch is null or arch = ${arch}::text) and labels <@ ${labels}::text[]
            and (${native}::boolean or not needs_native)
            and cpus <= coalesce(${cpus ?? null}::int, cpus)
            and memory_mib <= coalesce(${memoryMiB ?? null}::int, memory_mib)
            and scratch_mib <= coalesce(${scratchMiB ?? null}::int, scratch_mib)
          group by share_id, pass, weight
          order by pass, share_id
        ) as share
        cross join lateral (
          select job.id, rank_at from unnest(share.lines) as line (id)
          cross join lateral (
            -- A number in the text, of few, so that the planner knows that it is small: a line may have a million jobs.
            select jobs.id, rank_at from jobs where line_id = line.id and ${mayStart}
            order by rank_at, jobs.id limit ${sql.lit(depth)}
          ) as job
          order by rank_at, job.id limit ${sql.lit(depth)}
        ) as job
        -- From share to share, and no further than all of them could need.
        limit ${depth * askings.length}
      ) as job
    ), held as (
      select job.id, share_id, turn from (select * from waiting order by turn, share_id) as first
      cross join lateral (
        select jobs.id from jobs where jobs.id = first.id and ${mayStart} for update skip locked
      ) as job
      limit (select count(*) from seat)
    ), leased as (
      update jobs set
        state = 'processing', attempt = attempt + 1, executor = seat.executor, token_sha256 = token,
        lease_ms = seat.lease_ms, lease_expires_at = clock_timestamp() + make_interval(secs => seat.lease_ms / 1000.0),
        started_at = clock_timestamp(), finished_at = null, process_after = null, reason = null, message = null
      from (select id, share_id, row_number() over (order by turn, share_id) as place from held) as placed
      join seat using (place)
      where jobs.id = placed.id
      returning n, share_id, ${changedColumns}
    ), charged as (
      -- In the order of their ids, as everybody does who holds more than one of them.
      select shares.id from shares where id in (select share_id from leased) order by id for no key update
    ), counted as (
      update shares set pass = pass + leased.count / weight
      from charged join (select share_id, count(*) from leased group by share_id) as leased on leased.share_id = charged.id
      where shares.id = charged.id
    ), event as (${insertEvents} from leased as moment)
    select ${rowColumns}, asker.draining, asker.good,
      row.id is null and (select count(*) from held) < least((select count(*) from seat), (select count(*) from waiting))
        as contended
    from asker left join leased as row using (n) order by n
  `.execute(db);
  return rows.map(({ draining, good, contended, ...job }) => ({
    ...{ draining, good, contended },
    job: job.id === null ? null : job,
  }));
}

/** `jobs` that wait for nothing but an executor. */
const mayStart = sql`
  state in ('queued', 'errored') and rank_at <= now() and (process_after is null or process_after <= now())`;
