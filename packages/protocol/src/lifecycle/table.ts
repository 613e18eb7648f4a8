import type { JobState } from '../api/jobs.ts';

/** What the lifecycle knows of a job. Everything else about it does not decide a transition. */
export interface JobLife {
  readonly state: JobState;
  /** 0 before the first lease; one more with each. */
  readonly attempt: number;
  /** How often a lease was lost, and how often it may be before the job has failed. */
  readonly resets: number;
  readonly maxResets: number;
  /** How often an executor reported an error that may be retried, and how often it may. */
  readonly retries: number;
  readonly maxRetries: number;
  /** Somebody wants it to stop; never taken back. */
  readonly cancelRequested: boolean;
}

/**
 * What can happen to a job. `lease`, `complete`, `error` and `fail` come from executors, `cancel` from people; `expire` from the
 * instance's clock when a lease ran out, `release` from a heartbeat that no longer names a job whose cancel was asked for.
 */
export const jobTransitions = ['lease', 'complete', 'error', 'fail', 'cancel', 'release', 'expire'] as const;
export type JobTransition = (typeof jobTransitions)[number];

/** States that nothing leaves. `errored` is not one: an errored job will be retried. */
export const endStates = ['completed', 'failed', 'canceled'] as const satisfies readonly JobState[];

export function hasEnded(state: JobState): boolean {
  return (endStates as readonly JobState[]).includes(state);
}

/** The job's life before its first lease. */
export function newLife(limits: { readonly maxResets: number; readonly maxRetries: number }): JobLife {
  return { state: 'queued', attempt: 0, resets: 0, retries: 0, cancelRequested: false, ...limits };
}

/**
 * The job after a transition, or null where it is refused. The one table of the lifecycle: what the instance stores is
 * what this returns.
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
  // Its token is dead from now on; the job has ended when its executor has let it go, or can no longer hold it.
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
