import { openSync, readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** The source of time of all code; tests and the simulation have clocks of their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For people and records, never for durations. */
  now(): number;
  /** Milliseconds since the host booted, including the time that it was suspended (CLOCK_BOOTTIME). Leases use this clock. */
  bootTime(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** /proc/uptime stays open, because opening it costs ten times as much as reading it. */
let uptime: number | undefined;
const text = Buffer.alloc(64);

function readUptime(): number {
  uptime ??= openSync('/proc/uptime', 'r');
  return Number.parseFloat(text.toString('latin1', 0, readSync(uptime, text, 0, text.length, 0)));
}

export const systemClock: Clock = {
  now: () => Date.now(),
  // Node does not offer CLOCK_BOOTTIME. The first number of /proc/uptime is that clock, to 10 ms.
  bootTime: () => Math.round(readUptime() * 1000),
  sleep: (ms, signal) => delay(ms, undefined, signal && { signal }),
};
