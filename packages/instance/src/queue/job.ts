import type { JobState, QueueName, Tier } from '@fumehood/protocol';

/** A row of `jobs`, as the queue's statements return it. */
export interface JobRow {
  readonly id: number;
  readonly queue: QueueName;
  readonly state: JobState;
  /** Its kind's; checked by the kind when it was made. */
  readonly payload: unknown;
  readonly repository: string;
  readonly commit: string;
  readonly tenant: string;
  readonly accept: Tier[];
  readonly cpus: number;
  readonly memory_mib: number;
  readonly scratch_mib: number;
  readonly attempt: number;
  readonly executor: string | null;
  readonly takes_input: boolean;
  readonly input_bytes: number;
  readonly input_ended: boolean;
  readonly started_at: Date | null;
}

/** The lease of a job: what its token stands for. It is one attempt of one executor, which may read the one commit. */
export interface JobLease {
  readonly jobId: number;
  readonly attempt: number;
  readonly executor: string;
  readonly queue: QueueName;
  /** `''`: it may read no repository. */
  readonly repository: string;
  readonly commit: string;
}
