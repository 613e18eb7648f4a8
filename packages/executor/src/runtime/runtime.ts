import type { Job, JobResultRequest } from '@fumehood/protocol';
import type { JobClient } from '../uplink/job-client.ts';
import type { Lease } from '../uplink/leases.ts';

/** What a run measured of itself; stored with its attempt. */
export type RunResult = Omit<JobResultRequest, 'executorName' | 'jobId'>;

/** How a run ended: what it learned is told even when it failed. */
export interface RunOutcome {
  /** Null when nothing was started for it. */
  readonly result: RunResult | null;
  /** Null when every step ended well. */
  readonly failure: unknown;
}

/** What runs leased jobs. Nothing of a job is left when `run` resolves, and nothing of it outlives its lease's deadline. */
export interface Runtime {
  /** Errors: `job_refused`, before anything was started. */
  run(job: Job, lease: Lease, client: JobClient): Promise<RunOutcome>;
}
