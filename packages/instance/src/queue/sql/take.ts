import type { Arch, QueueName, Tier } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

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

export interface TakenJob extends JobRow {
  readonly share_id: number;
}

/** What became of an offer. */
interface Taken {
  /** Null: none fits, or its executor may have none. */
  readonly job: TakenJob | null;
  readonly draining: boolean;
  /** Whatever its executor's name belongs to is good; so is a name that nobody knows. */
  readonly good: boolean;
}

/**
 * Leases one job that fits the offer, if there is one: of the shares with a fitting job the one furthest behind, and in it the
 * job that comes first. The lazy joins look at no more lines and jobs than it takes to find one. Two executors that ask at
 * once get different jobs: a row that the other one holds is skipped. One that is draining gets none, nor does one whose
 * credential is no longer good.
 */
export async function takeJob(db: Db, offer: Offer, tokenHash: Buffer, leaseMs: number): Promise<Taken> {
  const { cpus, memoryMiB, scratchMiB } = offer.free ?? {};
  const { rows } = await sql<Partial<TakenJob> & Omit<Taken, 'job'>>`
    with asker as (
      select coalesce(bool_or(draining), false) as draining, coalesce(bool_and(credential_is_good(credential)), true) as good
      from executors join executor_credentials credential on credential.id = credential_id
      where executors.name = ${offer.executor}
    ), next as (
      select job.id, share.share_id
      from (
        select share_id, array_agg(lines.id) as lines
        from lines join shares on shares.id = share_id
        where (select good and not draining from asker)
          and busy and queue = any(${offer.queues}::text[]) and accept && ${offer.tiers}::text[]
          and (arch is null or arch = ${offer.arch}::text) and labels <@ ${offer.labels}::text[]
          and (${offer.native}::boolean or not needs_native)
          and cpus <= coalesce(${cpus ?? null}::int, cpus)
          and memory_mib <= coalesce(${memoryMiB ?? null}::int, memory_mib)
          and scratch_mib <= coalesce(${scratchMiB ?? null}::int, scratch_mib)
        group by share_id, pass
        order by pass, share_id
      ) as share
      cross join lateral (
        select line.id from unnest(share.lines) as line (id)
        cross join lateral (
          select rank_at, jobs.id as head from jobs
          where line_id = line.id and state in ('queued', 'errored') and rank_at <= now()
            and (process_after is null or process_after <= now())
          order by rank_at, jobs.id limit 1
        ) as first
        order by rank_at, head
      ) as line
      cross join lateral (
        select id from jobs
        where line_id = line.id and state in ('queued', 'errored') and rank_at <= now()
          and (process_after is null or process_after <= now())
        order by rank_at, id limit 1
        for update skip locked
      ) as job
      limit 1
    ), leased as (
      update jobs set
        state = 'processing', attempt = attempt + 1, executor = ${offer.executor}, token_sha256 = ${tokenHash},
        lease_ms = ${leaseMs}, lease_expires_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1000}),
        started_at = clock_timestamp(), finished_at = null, process_after = null, reason = null, message = null
      from next where jobs.id = next.id
      returning jobs as row, share_id
    ), event as (
      insert into job_events (job_id, type, body)
      select (row).id, 'job', jsonb_build_object('type', 'job', 'job', job_record(row, null)) from leased
    )
    select (row).*, share_id, asker.* from asker left join leased on true
  `.execute(db);
  const { draining, good, ...job } = rows[0] as TakenJob & Omit<Taken, 'job'>;
  return { draining, good, job: job.id === null ? null : job };
}
