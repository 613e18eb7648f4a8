import {
  type Arch,
  type createJobSchema,
  type EgressMode,
  type Job,
  type NextStep,
  type NextStepRequest,
  type PayloadVersion,
  type QueueName,
  type Tier,
  wholeJobVersion,
} from '@fumehood/protocol';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { queueUnknown } from '../errors.ts';
import type { JobRow } from './job.ts';

/** The validated body of `POST /api/jobs`, of any queue. */
type JobRequest = z.output<typeof createJobSchema>;

/** How long a lease lasts after a heartbeat, milliseconds. Native executors send one every 2 s, upstream's every 5 s. */
export const leaseTimes = { native: 10_000, upstream: 25_000 } as const;

/** A new job as the queue stores it. */
export interface NewJob {
  /** Only the job's kind reads it. */
  readonly payload: unknown;
  /** `''`: the job has no repository. */
  readonly repository: string;
  readonly commit: string;
  readonly demand: Demand;
  /**
   * Wall time of all steps of an attempt together with the grace period after it, milliseconds. The instance ends an attempt that
   * outlives it (`overdue`).
   */
  readonly deadlineMs: number;
  /** The job takes bytes on stdin. */
  readonly input: boolean;
  /** How often its lease may be lost before the job has failed. */
  readonly maxResets: number;
  /** How often an error that may be retried is retried. */
  readonly maxRetries: number;
}

/** The demands of a job on the executor that runs it. */
export interface Demand {
  readonly accept: readonly Tier[];
  /** Null: any. */
  readonly arch: Arch | null;
  /** The executor has to have all of them. */
  readonly labels: readonly string[];
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly scratchMiB: number;
  /** The oldest version of the native protocol whose executors understand the payload; 0: also those of upstream's kind. */
  readonly needsVersion: number;
  /** How far the job's policy reaches, before the ceilings of the instance. */
  readonly egress: EgressMode;
  /** It uses the broker, for which an executor needs a network whatever the policy and the ceilings say. */
  readonly usesBroker: boolean;
}

/** How a job was submitted: by whom, when it may start, and how it is retried. */
export interface Submission {
  readonly tenant: string;
  /** 0 to 100. Within its tenant's share, the job counts as queued one minute earlier for each point. */
  readonly priority: number;
  /** When the job may start; null: at once. */
  readonly processAfter: Date | null;
  /** The pause before the first retry, doubled with each one. */
  readonly retryPauseMs: number;
  /** A repeated request with the same key makes no second job. Null: the request had no key. */
  readonly idempotency: { readonly key: string; readonly requestSha256: Buffer } | null;
}

/** The part of an executor's job that its kind makes; the queue adds id, token and lease. */
export type JobContent = Omit<Job, 'id' | 'token' | 'queue' | 'repositoryName' | 'commit' | 'fumehood'> & {
  readonly fumehood: Pick<
    NonNullable<Job['fumehood']>,
    | 'deadlineMs'
    | 'stopGraceMs'
    | 'stdin'
    | 'inspect'
    | 'upload'
    | 'workspace'
    | 'artifacts'
    | 'secrets'
    | 'network'
    | 'batch'
  >;
};

/** What a step of a batch job has left. */
export type StepDone = NonNullable<NextStepRequest['done']> & { readonly diffBytes: number };

/** Runs a write in a transaction that has locked a job's row and passed its fence. Errors: `lease_lost`. */
export type Locked = <T>(write: (tx: Db, job: JobRow) => Promise<T>) => Promise<T>;

/** What follows the end of a step. */
export interface JobSteps {
  /**
   * Stores what a step has left and returns what follows. What the step has left stays stored if nothing can follow. The same end of a
   * step, which an executor may send again, has the same answer. `locked`: runs a write for the job; what takes long is done between the
   * writes. `done`: null at the begin of an attempt.
   */
  readonly next: (locked: Locked, done: StepDone | null) => Promise<NextStep>;
  /** Whether the answers of `next` may have named a blob to an executor of this job. */
  readonly hasNamed: (db: Db, job: JobRow, digest: string) => Promise<boolean>;
}

/** A kind of jobs. This is all that the queue knows of their purpose. */
export interface QueueKind<Q extends QueueName = QueueName> {
  readonly name: Q;
  /** Makes the job to store for a request. Errors: the request names something that the instance does not have. */
  create(request: JobRequest & { readonly queue: Q }): Promise<NewJob>;
  /** Makes an executor's job from a stored one. */
  content(job: JobRow): JobContent;
  /** Makes what an executor of upstream's kind gets in place of these parts of the content. Missing: it gets the content. */
  forUpstream?(
    db: Db,
    job: JobRow,
    version: PayloadVersion,
  ): Promise<Pick<JobContent, 'files' | 'dockerSteps' | 'cliSteps'>>;
  /** Returns the names of the broker's entries that a job gets; null: all that are for its queue and repository, if it has a network. */
  broker(job: JobRow): readonly string[] | null;
  /** Stores what has to be stored with a job's final end, in the same transaction. Most kinds have no such hook. */
  ended?(tx: Db, job: JobRow): Promise<void>;
  /** The steps of the kind's jobs, where an executor gets them one by one. */
  readonly steps?: JobSteps;
}

export type QueueKinds = ReadonlyMap<QueueName, QueueKind>;

/** Returns the kind of a queue's jobs. Errors: `queue_unknown` for a queue for which the instance makes no jobs. */
export function kindOf(kinds: QueueKinds, queue: QueueName): QueueKind {
  const kind = kinds.get(queue);
  if (!kind) throw queueUnknown(queue);
  return kind;
}

/** The part of a request that says on what its job may run. */
export type Demanding = Pick<
  JobRequest,
  'accept' | 'arch' | 'labels' | 'cpus' | 'memoryMiB' | 'scratchMiB' | 'network' | 'broker'
>;

/**
 * Returns the demand of a request, for executors with the native extension; `whole`: for those alone that ignore no field of a native
 * job. What it may reach over the network is matched by itself.
 */
export function demandOf(request: Demanding, whole: boolean): Demand {
  const { accept, arch, labels, cpus, memoryMiB, scratchMiB, network } = request;
  // Sorted and without repetitions: jobs with the same demand wait in the same line.
  const sorted = <T extends string>(names: readonly T[]) => [...new Set(names)].sort();
  return {
    accept: sorted(accept),
    arch,
    labels: sorted(labels),
    ...{ cpus, memoryMiB, scratchMiB },
    needsVersion: whole ? wholeJobVersion : 1,
    egress: network.mode,
    usesBroker: (request.broker ?? []).length > 0,
  };
}
