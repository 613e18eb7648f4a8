import type { ChangesetStatus } from './sync-records.ts';

const minuteMs = 60_000;
/** Checks run for minutes, and a wave may wait for them. */
const checksMs = 2 * minuteMs;
/** Checks that are to run have begun by then. */
const beginMs = 4 * minuteMs;
const soonestMs = 10 * minuteMs;
const latestMs = 6 * 60 * minuteMs;

/**
 * Returns when the state of a changeset is read again, in milliseconds from now: later the longer nothing has changed, because the reading of
 * one costs several of the requests that a host allows. `unchangedMs`: time since something has.
 */
export function syncDelay({ state, checks }: ChangesetStatus, unchangedMs: number): number {
  if (state === 'closed') return latestMs;
  if (checks === 'pending' && unchangedMs < latestMs) return checksMs;
  if (state !== null && checks === null && unchangedMs < soonestMs) return beginMs;
  return Math.min(Math.max(unchangedMs / 10, soonestMs), latestMs);
}
