import type { Job, JobResultRequest } from '@fumehood/protocol';
import type { JobClient } from '../uplink/job-client.ts';
import type { Lease } from '../uplink/leases.ts';
import type { Resources } from '../uplink/queue.ts';

/** What a run measured. The instance stores it with the attempt. */
export type RunResult = Omit<JobResultRequest, 'executorName' | 'jobId' | 'leftOver'> & {
  readonly leftOver: NonNullable<JobResultRequest['leftOver']>;
};

/**
 * What a run says about this machine: that it can run jobs, or that the run failed because of it. Null: neither, such as a job that
 * fails before its VM boots, for a reason of its own.
 */
export type MachineVerdict = 'works' | 'fault' | null;

/** The end of a run. It may have a result although it failed. */
export interface RunOutcome {
  /** Null when nothing was started for the job. */
  readonly result: RunResult | null;
  /** The error that ended the run, or null when every step ended with exit code 0. */
  readonly failure: unknown;
  readonly machine: MachineVerdict;
}

/** Runs leased jobs. Nothing of a job is left when `run` resolves, and no process of it outlives the lease's deadline. */
export interface Runtime {
  /** Errors: `job_refused` and `upload_step_refused`, before anything is started. */
  run(job: Job, lease: Lease, client: JobClient): Promise<RunOutcome>;
  /** Tries with a canary of this size whether this machine can run a job. Rejects with the reason if it cannot, or with `stopped`'s. */
  tryMachine(resources: Resources, stopped: AbortSignal): Promise<void>;
}
