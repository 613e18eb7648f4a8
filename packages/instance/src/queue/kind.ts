import type { Arch, createJobSchema, Job, QueueName, Tier } from '@fumehood/protocol';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import type { JobRow } from './job.ts';

/** A checked `POST /api/jobs`, of any queue. */
type JobRequest = z.output<typeof createJobSchema>;

/** How long a lease is good after a heartbeat, ms: ours beat every 2 s, upstream's executors every 5 s. */
export const leaseTimes = { native: 10_000, upstream: 25_000 } as const;

/** What the queue stores of a new job. `payload` is its kind's alone. */
export interface NewJob {
  readonly payload: unknown;
  readonly repository: string;
  readonly commit: string;
  /** What an executor has to offer. */
  readonly demand: Demand;
  /** It takes bytes on stdin. */
  readonly input: boolean;
  /** Losses of its executor, and errors that may be retried, that it survives. */
  readonly maxResets: number;
  readonly maxRetries: number;
}

/** What a job asks of the executor that runs it. */
export interface Demand {
  readonly accept: readonly Tier[];
  /** Null: any. */
  readonly arch: Arch | null;
  /** All of them. */
  readonly labels: readonly string[];
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly scratchMiB: number;
  /** Only executors with the native extension understand its payload. */
  readonly needsNative: boolean;
}

/** Who asks for a job, and when and how often it is tried. */
export interface Submission {
  readonly tenant: string;
  /** 0 to 100: each point is a minute that it counts as queued earlier, within its tenant's share. */
  readonly priority: number;
  /** Null: at once. */
  readonly processAfter: Date | null;
  /** Pause before the first retry, doubled with each. */
  readonly retryPauseMs: number;
  /** A repeat of the request with the same key makes no second job. */
  readonly idempotency: { readonly key: string; readonly requestSha256: Buffer } | null;
}

/** The part of an executor's job that its kind decides; the queue adds id, token and lease. */
type JobContent = Omit<Job, 'id' | 'token' | 'queue' | 'repositoryName' | 'commit' | 'fumehood'> & {
  readonly fumehood: Pick<NonNullable<Job['fumehood']>, 'deadlineMs' | 'stdin' | 'inspect' | 'upload'>;
};

/** All that the queue knows of what its jobs are for. */
export interface QueueKind {
  readonly name: QueueName;
  /** What is stored for a request of people. Errors: what it names that the instance does not have. */
  create(request: JobRequest): Promise<NewJob>;
  /** What an executor gets for a stored job. */
  content(job: JobRow): JobContent;
  /** What has to be stored with a job's end for good, in the same transaction; most have nothing. */
  ended?(tx: Db, job: JobRow): Promise<void>;
}

export type QueueKinds = ReadonlyMap<QueueName, QueueKind>;

/** The demand of a request, for executors that know the native extension. */
export function demandOf(request: JobRequest): Demand {
  const { accept, arch, labels, cpus, memoryMiB, scratchMiB } = request;
  // In one order and without repetitions: jobs that ask for the same wait in one line.
  const sorted = <T extends string>(names: readonly T[]) => [...new Set(names)].sort();
  return {
    accept: sorted(accept),
    arch,
    labels: sorted(labels),
    ...{ cpus, memoryMiB, scratchMiB },
    needsNative: true,
  };
}
