import { type RawBuilder, sql } from 'kysely';

/** The pause of an executor that lost a lease, seconds. Each further loss doubles it, up to the longest. */
const firstPauseS = 1;
const longestPauseS = 60;
/** Losses that are further apart than this are not counted together, ms. */
export const lossesForgottenMs = 600_000;

/** Returns the pause after a number of losses, ms: what `isPausing` does in SQL, for the simulation. */
export function pauseAfterLossesMs(losses: number): number {
  return Math.min(longestPauseS, firstPauseS * 2 ** Math.min(losses - 1, 10)) * 1_000;
}

/**
 * True of a row of `executors` that gets no job now: a lease of it ran out, and it has not sent a heartbeat since, or its pause is not
 * over. An executor whose heartbeats do not arrive would otherwise use up the attempts of one job after the other. (A pause that
 * seems longer than it can be is from before the clock was set back.)
 */
export const isPausing = sql<boolean>`(
  must_beat or coalesce(
    clock_timestamp() - lost_at between interval '0' and make_interval(
      secs => least(${sql.lit(longestPauseS)}, ${sql.lit(firstPauseS)} * 2.0 ^ least(losses - 1, 10))),
    false)
)`;

/**
 * A statement that counts the loss of leases against their executors, whose names `executors` selects. Several leases that are lost
 * before the executor's next heartbeat are one loss. The rows are locked in the order of their names.
 */
export const countLosses = (executors: RawBuilder<unknown>) => sql`
  update executors set
    losses = case
      when must_beat then losses
      when lost_at > clock_timestamp() - make_interval(secs => ${sql.lit(lossesForgottenMs / 1_000)}) then losses + 1
      else 1 end,
    must_beat = true, lost_at = clock_timestamp()
  from (select name from executors where name in (${executors}) order by name for no key update) as lost
  where executors.name = lost.name`;

/** A statement that forgets the losses of executors that have reported the end of a job: they work again. */
export const forgetLosses = (executors: RawBuilder<unknown>) => sql`
  update executors set losses = 0
  from (
    select name from executors where name in (${executors}) and losses > 0 order by name for no key update
  ) as working
  where executors.name = working.name`;
