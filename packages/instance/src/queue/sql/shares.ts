import type { Share } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** The waiting jobs of one share are counted up to this number. A job that is further behind needs no exact position. */
const countMax = 10_000;
/** The pace is measured over the attempts that ended within this time, at most so many of them. */
const paceMinutes = 10;
const paceJobs = 1_000;

/**
 * Makes the share of a tenant in a queue, or lets it rejoin. A share without waiting jobs starts at the smallest pass of the busy
 * ones: it gets its part from now on, and no credit for the time in which it asked for nothing.
 */
export async function joinShare(db: Db, tenant: string, queue: string): Promise<void> {
  await sql`
    insert into shares as mine (tenant, queue, pass)
    values (${tenant}, ${queue}, coalesce((
      select min(pass) from shares where exists (select from lines where share_id = shares.id and busy)
    ), 0))
    on conflict (tenant, queue) do update set pass = greatest(mine.pass, excluded.pass)
    where not exists (select from lines where share_id = mine.id and busy)
  `.execute(db);
}

/** Sets the weight of a tenant's jobs in a queue, from their next lease on. */
export async function setShareWeight(db: Db, tenant: string, queue: string, weight: number): Promise<void> {
  await sql`
    insert into shares (tenant, queue, weight) values (${tenant}, ${queue}, ${weight})
    on conflict (tenant, queue) do update set weight = excluded.weight
  `.execute(db);
}

/** Returns every share with the number of its waiting jobs (10 000 at most) and of its running jobs. */
export async function listShares(db: Db): Promise<Share[]> {
  const { rows } = await sql<Share>`
    select tenant, queue, weight,
      (
        select count(*)::int from (
          select from lines join jobs on line_id = lines.id
          where share_id = shares.id and busy and state in ('queued', 'errored') limit ${sql.lit(countMax)}
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

/** The place of a waiting job in the order of leases. */
export interface QueuePosition {
  /** The jobs of its own share that come before it. */
  readonly own: number;
  /** The estimated leases of other shares before its turn. */
  readonly others: number;
  /** Its share of all leases while every share has waiting jobs, 0 to 1. */
  readonly share: number;
  /** Attempts that ended lately, per second; null when none did. */
  readonly pace: number | null;
}

/**
 * Estimates a waiting job's position by the rule of leases: the share with the smallest pass is served, and each lease adds
 * 1/weight to the pass. The job's turn comes when the pass of its share has grown by one step for each job of the share before
 * it.
 */
export async function readQueuePosition(db: Db, jobId: number): Promise<QueuePosition | undefined> {
  const { rows } = await sql<QueuePosition>`
    with mine as (
      select jobs.id, rank_at, share_id, pass, weight
      from jobs join lines on lines.id = line_id join shares on shares.id = share_id
      where jobs.id = ${jobId} and state in ('queued', 'errored')
    ), counted as (
      select shares.id, shares.pass, shares.weight, (
        select count(*) from (
          select from lines join jobs on line_id = lines.id
          where share_id = shares.id and busy and state in ('queued', 'errored')
            and (shares.id <> mine.share_id or (jobs.rank_at, jobs.id) < (mine.rank_at, mine.id))
          limit ${countMax}
        ) as waiting
      ) as waiting
      from shares, mine
      where exists (select from lines where share_id = shares.id and busy)
    ), turn as (
      select mine.pass + counted.waiting / mine.weight as pass from mine join counted on counted.id = mine.share_id
    ), pace as (
      select count(*) as ended, extract(epoch from now() - min(ended_at)) as seconds from (
        select ended_at from attempts where ended_at > now() - make_interval(mins => ${paceMinutes})
        order by ended_at desc limit ${paceJobs}
      ) as lately
    )
    select
      (select waiting::int from counted where id = share_id) as own,
      (
        select coalesce(sum(least(waiting, greatest(0, floor((turn.pass - counted.pass) * weight) + 1))), 0)::int
        from counted, turn where id <> share_id
      ) as others,
      weight / (select sum(weight) from counted) as share,
      (select ended / greatest(case when ended < ${paceJobs} then ${paceMinutes} * 60 else seconds end, 1) from pace
       where ended > 0)::float8 as pace
    from mine
  `.execute(db);
  return rows[0];
}
