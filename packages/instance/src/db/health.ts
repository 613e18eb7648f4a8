import type { Clock } from '@fumehood/base';

/** A round trip that takes longer than this is taken for a database that was away, milliseconds. */
const slowMs = 2_000;
/** How long after that what the database knows of executors is not complete: they report every 2 s, upstream's every 5 s. */
const settlingMs = 10_000;

/** Whether the database has answered without a break. */
export interface Health {
  /** Runs something that asks the database, and takes note of how it went. */
  watch<T>(run: () => Promise<T>): Promise<T>;
  /** False while the database is away and for some seconds after: which executors are connected is not known then. */
  settled(): boolean;
}

/** Makes the health of a database that nobody has watched yet; it is settled. */
export function makeHealth(clock: Clock): Health {
  let lastTrouble = Number.NEGATIVE_INFINITY;
  return {
    async watch(run) {
      const started = clock.bootTime();
      try {
        const result = await run();
        if (clock.bootTime() - started > slowMs) lastTrouble = clock.bootTime();
        return result;
      } catch (error) {
        lastTrouble = clock.bootTime();
        throw error;
      }
    },
    settled: () => clock.bootTime() - lastTrouble > settlingMs,
  };
}
