import type { Clock } from '@fumehood/base';

/** A step forward of less than this is not told from a slow answer; the margin of the reaper is larger. */
const toleranceMs = 250;

/** A reading of the database's clock, and of this process's before and after it. */
export interface Reading {
  readonly database: number;
  readonly before: number;
  readonly after: number;
}

/**
 * The database's clock as the reaper may believe it, milliseconds. Leases are counted on the wall clock of the database's
 * machine, and virtual machines on the boot-time clocks of theirs: when somebody sets the former forward, leases that are good
 * would look as if they had run out. Such a step is believed after `holdMs`, the longest lease and the reaper's margin: by
 * then, every lease from before it has ended by itself or was renewed after it. A step back makes leases longer, and is
 * believed at once. The first reading is believed too: a step is only seen by a process that was there before it.
 */
export function steadyClock(holdMs: number, onStep: (ms: number) => void): (reading: Reading) => number {
  let last: Point | null = null;
  let believed: Point | null = null;
  let doubtedUntil = Number.NEGATIVE_INFINITY;
  return ({ database, before, after }) => {
    const took = after - before;
    const step = last ? database - went(last, before) - took : 0;
    if (step > toleranceMs) {
      onStep(step);
      doubtedUntil = after + holdMs;
    }
    const reading = { database, at: before };
    // Where in a slow answer's time the clock was read, nobody knows.
    const exact = took <= toleranceMs;
    if (exact) last = reading;
    if (believed && (!exact || after < doubtedUntil)) return Math.min(database, went(believed, before));
    believed = reading;
    return database;
  };
}

interface Point {
  readonly database: number;
  readonly at: number;
}

/** What a clock that showed this then shows now, unless somebody sets it. */
function went({ database, at }: Point, now: number): number {
  return database + now - at;
}

/** Reads a clock of somebody else's, between two readings of ours. */
export async function readBetween(clock: Clock, read: () => Promise<number>): Promise<Reading> {
  const before = clock.bootTime();
  const database = await read();
  return { database, before, after: clock.bootTime() };
}
