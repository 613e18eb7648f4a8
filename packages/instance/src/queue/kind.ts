import type { createJobSchema, Job, QueueName, Tier } from '@glovebox/protocol';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import type { JobRow } from './job.ts';

/** A checked `POST /api/jobs`, of any queue. */
type JobRequest = z.output<typeof createJobSchema>;

/** What the queue stores of a new job. `payload` is its kind's alone. */
export interface NewJob {
  readonly payload: unknown;
  readonly repository: string;
  readonly commit: string;
  readonly accept: readonly Tier[];
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly scratchMiB: number;
  /** It takes bytes on stdin. */
  readonly input: boolean;
  /** Losses of its executor, and errors that may be retried, that it survives. */
  readonly maxResets: number;
  readonly maxRetries: number;
}

/** The part of an executor's job that its kind decides; the queue adds id, token and lease. */
type JobContent = Omit<
  Job,
  'version' | 'id' | 'token' | 'queue' | 'repositoryName' | 'commit' | 'glovebox'
> & {
  readonly glovebox: Pick<NonNullable<Job['glovebox']>, 'deadlineMs' | 'stdin' | 'inspect' | 'upload'>;
};

/** All that the queue knows of what its jobs are for. */
export interface QueueKind {
  readonly name: QueueName;
  /** What is stored for a request of people. Errors: what it names that the instance does not have. */
  create(request: JobRequest): Promise<NewJob>;
  /** What an executor gets for a stored job. */
  content(job: JobRow): JobContent;
  /** Called in the transaction that ends a job for good. */
  ended(tx: Db, job: JobRow): Promise<void>;
}

export type QueueKinds = ReadonlyMap<QueueName, QueueKind>;
