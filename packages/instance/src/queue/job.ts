import type { JobState, NetworkCeiling, QueueName, Tier } from '@fumehood/protocol';

/** A row of `jobs`, as the queue's statements return it. */
export interface JobRow {
  readonly id: number;
  readonly queue: QueueName;
  readonly state: JobState;
  /** Validated by the job's kind when the job was made; only the kind reads it. */
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
  /** The ceilings that were in force when it was leased last. Null: it was not leased yet. */
  readonly egress_ceilings: NetworkCeiling[] | null;
}

/** What a job token stands for: one attempt of a job by one executor, which may read the one commit. */
export interface JobLease {
  readonly jobId: number;
  readonly attempt: number;
  readonly executor: string;
  readonly queue: QueueName;
  /** `''`: the job has no repository. */
  readonly repository: string;
  readonly commit: string;
}
