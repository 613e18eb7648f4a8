import type { Clock } from '@fumehood/base';

/** A smaller step forward cannot be told from a slow answer, milliseconds. The margin of the reaper is larger. */
const toleranceMs = 250;

/** A reading of the database's clock, between two readings of this process's boot-time clock; milliseconds. */
export interface Reading {
  readonly database: number;
  readonly before: number;
  readonly after: number;
}

/**
 * Returns a function that turns readings of the database's clock into a time that the reaper may act on, in milliseconds.
 * `onStep` is called with how far the clock was set, forward or (negative) back.
 *
 * Leases are counted on the wall clock of the database's machine, and VMs are killed by the boot-time clocks of theirs. When
 * somebody sets the wall clock forward, valid leases look as if they had run out. So a step forward is believed only after
 * `holdMs`, the longest lease and the reaper's margin: by then every lease from before the step has ended by itself or was
 * renewed after it. A step back only makes leases longer, and is believed at once; `onStep` can shorten them (sql/clock.ts). The
 * first reading is believed, too: a process cannot see a step from before its start.
 */
export function steadyClock(holdMs: number, onStep: (ms: number) => void): (reading: Reading) => number {
  let last: Point | null = null;
  let believed: Point | null = null;
  let doubtedUntil = Number.NEGATIVE_INFINITY;
  return ({ database, before, after }) => {
    const took = after - before;
    const step = last ? database - expectedTime(last, before) - took : 0;
    if (step > toleranceMs) {
      onStep(step);
      doubtedUntil = after + holdMs;
    }
    const back = last ? database - expectedTime(last, before) : 0;
    if (back < -toleranceMs) onStep(back);
    const reading = { database, at: before };
    // In a slow answer, the moment at which the clock was read is too uncertain.
    const exact = took <= toleranceMs;
    if (exact) last = reading;
    if (believed && (!exact || after < doubtedUntil))
      return Math.min(database, expectedTime(believed, before));
    believed = reading;
    return database;
  };
}

/** A time of the database's clock, and the boot time of this process at which it was read. */
interface Point {
  readonly database: number;
  readonly at: number;
}

/** Returns the time that the clock shows at boot time `now` if nobody has set it. */
function expectedTime({ database, at }: Point, now: number): number {
  return database + now - at;
}

/** Reads the database's clock between two readings of the boot-time clock. */
export async function readBetween(clock: Clock, read: () => Promise<number>): Promise<Reading> {
  const before = clock.bootTime();
  const database = await read();
  return { database, before, after: clock.bootTime() };
}
