import type { MachineVerdict } from '../runtime/runtime.ts';

/** Jobs in a row that fail because of the machine, after which the executor leases nothing. */
export const faultsMax = 3;
/** The pause before the canary, ms. It doubles each time until a job shows that the machine works, up to the longest. */
const firstPauseMs = 5_000;
const longestPauseMs = 300_000;

/** What an executor knows of its machine. */
export interface Health {
  /** Jobs in a row that failed because of the machine. */
  readonly faults: number;
  /** Pauses that have begun since a job last showed that the machine works. */
  readonly pauses: number;
  /** Why the executor leases nothing; null: it leases. */
  readonly trouble: string | null;
}
export const healthy: Health = { faults: 0, pauses: 0, trouble: null };

/**
 * Returns the health after the end of a job. Jobs that were running when the trouble began change nothing: a canary decides. `why`: the
 * message of the job's failure.
 */
export function afterJob(health: Health, verdict: MachineVerdict, why: string): Health {
  if (health.trouble !== null || verdict === null) return health;
  if (verdict === 'works') return healthy;
  const faults = health.faults + 1;
  if (faults < faultsMax) return { ...health, faults };
  return { faults, pauses: health.pauses + 1, trouble: why };
}

/**
 * Returns the health after a canary. `why`: the message of its failure, or null. After a canary that boots the executor leases again,
 * and the next job that fails because of the machine stops it at once.
 */
export function afterCanary(health: Health, why: string | null): Health {
  if (why !== null) return { ...health, pauses: health.pauses + 1, trouble: why };
  return { ...health, faults: faultsMax - 1, trouble: null };
}

/** Returns how long an executor that leases nothing waits before its canary, ms. */
export function pauseBeforeCanaryMs({ pauses }: Health): number {
  return Math.min(firstPauseMs * 2 ** (pauses - 1), longestPauseMs);
}
