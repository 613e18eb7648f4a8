import type { Clock } from '@glovebox/base';

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
 * believed at once.
 */
export function steadyClock(holdMs: number, onStep: (ms: number) => void): (reading: Reading) => number {
  let known: { readonly database: number; readonly at: number } | null = null;
  let steppedAt: number | null = null;
  return ({ database, before, after }) => {
    const took = after - before;
    const expected = known ? known.database + before - known.at : database;
    const ahead = database - expected - took;
    if (ahead <= toleranceMs) steppedAt = null;
    else if (steppedAt === null) {
      steppedAt = after;
      onStep(ahead);
    }
    const believed = steppedAt === null ? took <= toleranceMs : after - steppedAt >= holdMs;
    if (believed || !known) {
      known = { database, at: before };
      steppedAt = null;
      return database;
    }
    return Math.min(database, expected);
  };
}

/** Reads a clock of somebody else's, between two readings of ours. */
export async function readBetween(clock: Clock, read: () => Promise<number>): Promise<Reading> {
  const before = clock.bootTime();
  const database = await read();
  return { database, before, after: clock.bootTime() };
}
