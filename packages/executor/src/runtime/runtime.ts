import type { Job, JobResultRequest } from '@fumehood/protocol';
import type { JobClient } from '../uplink/job-client.ts';
import type { Lease } from '../uplink/leases.ts';

/** What a run measured. The instance stores it with the attempt. */
export type RunResult = Omit<JobResultRequest, 'executorName' | 'jobId' | 'leftOver'> & {
  readonly leftOver: NonNullable<JobResultRequest['leftOver']>;
};

/** The end of a run. It may have a result although it failed. */
export interface RunOutcome {
  /** Null when nothing was started for the job. */
  readonly result: RunResult | null;
  /** The error that ended the run, or null when every step ended with exit code 0. */
  readonly failure: unknown;
}

/** Runs leased jobs. Nothing of a job is left when `run` resolves, and no process of it outlives the lease's deadline. */
export interface Runtime {
  /** Errors: `job_refused` and `upload_step_refused`, before anything is started. */
  run(job: Job, lease: Lease, client: JobClient): Promise<RunOutcome>;
}
