import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** Jobs that are counted of one share; who is that far behind needs no exact number. */
const countMax = 10_000;
/** Ended attempts from which the pace is taken: those of this time, at most so many. */
const paceMinutes = 10;
const paceJobs = 1_000;

/** Where a waiting job stands. */
export interface Standing {
  /** Jobs of its own share that come before it. */
  readonly own: number;
  /** Likely leases of the other shares before its own turn. */
  readonly others: number;
  /** Its tenant's part of all leases while everybody has something waiting, 0 to 1. */
  readonly share: number;
  /** Jobs that ended lately, per second; null when none did. */
  readonly pace: number | null;
}

/**
 * Follows the rule of leases: a share is served while its pass is the smallest, and each lease adds 1/weight to it. This job's
 * turn comes when its share's pass has grown by one step for each job of the share before it.
 */
export async function readStanding(db: Db, jobId: number): Promise<Standing | undefined> {
  const { rows } = await sql<Standing>`
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
