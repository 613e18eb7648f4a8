import type { JobLife, JobRecord, JobState, QueueName, Tier } from '@glovebox/protocol';

/** A row of `jobs`, as the queue's statements return it. */
export interface JobRow {
  readonly id: number;
  readonly queue: QueueName;
  readonly state: JobState;
  /** Its kind's; checked by the kind when it was made. */
  readonly payload: unknown;
  readonly repository: string;
  readonly commit: string;
  readonly accept: Tier[];
  readonly cpus: number;
  readonly memory_mib: number;
  readonly scratch_mib: number;
  readonly attempt: number;
  readonly resets: number;
  readonly max_resets: number;
  readonly retries: number;
  readonly max_retries: number;
  readonly cancel_requested: boolean;
  readonly executor: string | null;
  readonly reason: string | null;
  readonly message: string | null;
  readonly upload_id: number | null;
  readonly takes_input: boolean;
  readonly input_bytes: number;
  readonly input_ended: boolean;
  readonly queued_at: Date;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
}

/** A job with what is known of its last attempt. */
export interface JobWithAttempt extends JobRow {
  readonly attempt_executor: string | null;
  readonly tier: Tier | null;
  readonly vmm: string | null;
  readonly exit_code: number | null;
  readonly guest: JobRecord['guest'];
  readonly inspection: JobRecord['inspection'];
  readonly left_over: JobRecord['leftOver'];
}

export function lifeOf(job: JobRow): JobLife {
  return {
    state: job.state,
    attempt: job.attempt,
    resets: job.resets,
    maxResets: job.max_resets,
    retries: job.retries,
    maxRetries: job.max_retries,
    cancelRequested: job.cancel_requested,
  };
}

/** The record that people see. Why it waits is found out where somebody asks. */
export function recordOf(job: JobWithAttempt, waiting: JobRecord['waiting'] = null): JobRecord {
  return {
    id: job.id,
    queue: job.queue,
    state: job.state,
    attempt: job.attempt,
    accept: job.accept,
    executor: job.attempt_executor,
    tier: job.tier,
    vmm: job.vmm,
    exitCode: job.exit_code,
    failure: job.reason === null ? null : { reason: job.reason, message: job.message ?? '' },
    waiting,
    guest: job.guest,
    inspection: job.inspection,
    leftOver: job.left_over,
    uploadId: job.upload_id,
    queuedAt: job.queued_at.toISOString(),
    startedAt: job.started_at?.toISOString() ?? null,
    finishedAt: job.finished_at?.toISOString() ?? null,
  };
}
