import { FumehoodError } from '@fumehood/base';

/** How often a changeset is tried again. */
const retriesMax = 10;
/** How often, if its host has to find out something first. */
const notReadyMax = 4;
/** The delay before the first retry, milliseconds; each further one is twice as long, up to an hour. */
const firstMs = 10_000;
const longestMs = 3_600_000;

/** What may be otherwise next time. All else that the instance names needs somebody to do something first. */
const passing: ReadonlySet<string> = new Set([
  ...[
    'host_rate_limited',
    'host_unavailable',
    'host_not_ready',
    'remote_unreachable',
    'remote_unavailable',
    'git_protocol',
  ],
  ...['mirror_missing', 'program_failed', 'spawn_failed'],
]);

/**
 * Returns after how many milliseconds a changeset that has failed is tried again; null: not by itself. `failures`: how often it had
 * failed before. `now`: milliseconds since 1970.
 */
export function retryDelay(error: unknown, failures: number, now: number): number | null {
  // What has no code is a fault of this process or of the database.
  if (error instanceof FumehoodError && !passing.has(error.code)) return null;
  const isLimited = error instanceof FumehoodError && error.code === 'host_rate_limited';
  const isNotReady = error instanceof FumehoodError && error.code === 'host_not_ready';
  if (failures >= (isNotReady ? notReadyMax : retriesMax) && !isLimited) return null;
  const delay = Math.min(firstMs * 2 ** failures, longestMs);
  return isLimited ? Math.max(Number(error.details.retryAt) - now, delay) : delay;
}
