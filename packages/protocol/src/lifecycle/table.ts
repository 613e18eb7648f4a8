import type { JobState } from '../api/jobs.ts';

/** The part of a job that decides its transitions. */
export interface JobLife {
  readonly state: JobState;
  /** 0 before the first lease; each lease adds one. */
  readonly attempt: number;
  /** How often a lease was lost. The job fails when that happens more than `maxResets` times. */
  readonly resets: number;
  readonly maxResets: number;
  /** How often an error was retried. The job fails on an error after `maxRetries` retries. */
  readonly retries: number;
  readonly maxRetries: number;
  /** A person has canceled the job. Never taken back. */
  readonly cancelRequested: boolean;
}

/**
 * The transitions of a job. `lease`, `complete`, `error` and `fail` come from executors, and `cancel` from people. `expire`
 * comes from the reaper when a lease ran out, and `release` from a heartbeat that no longer names a job whose cancel was
 * requested.
 */
export const jobTransitions = ['lease', 'complete', 'error', 'fail', 'cancel', 'release', 'expire'] as const;
export type JobTransition = (typeof jobTransitions)[number];

/** The final states. `errored` is not one of them: an errored job will be retried. */
export const endStates = ['completed', 'failed', 'canceled'] as const satisfies readonly JobState[];

/** Checks whether a state is final. */
export function hasEnded(state: JobState): boolean {
  return (endStates as readonly JobState[]).includes(state);
}

/** Returns the life of a new job. */
export function newLife(limits: { readonly maxResets: number; readonly maxRetries: number }): JobLife {
  return { state: 'queued', attempt: 0, resets: 0, retries: 0, cancelRequested: false, ...limits };
}

/**
 * Returns the job after a transition, or null if the transition is refused. This is the one table of the lifecycle: the
 * instance's SQL is tested against it.
 */
export function afterTransition(job: JobLife, transition: JobTransition): JobLife | null {
  if (job.state === 'processing') return whileProcessing(job, transition);
  if (hasEnded(job.state)) return null;
  if (transition === 'lease') return { ...job, state: 'processing', attempt: job.attempt + 1 };
  if (transition === 'cancel') return { ...job, state: 'canceled', cancelRequested: true };
  return null;
}

function whileProcessing(job: JobLife, transition: JobTransition): JobLife | null {
  if (transition === 'lease') return null;
  // The token is good for the job's log alone from now on. The job ends when its executor has released it, or when the lease runs out.
  if (transition === 'cancel') return { ...job, cancelRequested: true };
  if (job.cancelRequested)
    return transition === 'expire' || transition === 'release' ? { ...job, state: 'canceled' } : null;
  if (transition === 'release') return null;
  if (transition === 'complete') return { ...job, state: 'completed' };
  if (transition === 'error' && job.retries < job.maxRetries)
    return { ...job, state: 'errored', retries: job.retries + 1 };
  if (transition === 'expire' && job.resets < job.maxResets)
    return { ...job, state: 'queued', resets: job.resets + 1 };
  return { ...job, state: 'failed' };
}
