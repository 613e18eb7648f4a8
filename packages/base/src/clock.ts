import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Time as the product sees it; tests and the simulation bring their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For people and records, never for intervals. */
  now(): number;
  /** Milliseconds since the host booted, suspended time included (CLOCK_BOOTTIME): what leases are counted on. */
  bootTime(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  // Node has no CLOCK_BOOTTIME; the first number of /proc/uptime is that clock, to 10 ms.
  bootTime: () => Math.round(Number(readFileSync('/proc/uptime', 'latin1').split(' ', 1)[0]) * 1000),
  sleep: (ms, signal) => delay(ms, undefined, signal && { signal }),
};
