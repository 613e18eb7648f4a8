import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Log } from '../log.ts';

/** Longest time that the agent's event loop may stand still, in ms: leases are renewed on it, and each lasts some seconds. */
export const loopDelayMax = 200;

/**
 * Measures how long the event loop of this process stands still, and writes the longest time of each interval into the log when it is
 * too long. Returns a function that ends the measurement.
 */
export function watchLoopDelay(log: Pick<Log, 'warn'>, intervalMs = 10_000): () => void {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  const timer = setInterval(() => {
    const loopDelayMs = Math.round(delays.max / 1e6);
    delays.reset();
    if (loopDelayMs > loopDelayMax)
      log.warn({ loopDelayMs }, 'the agent stood still: its leases may be renewed late');
  }, intervalMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    delays.disable();
  };
}
