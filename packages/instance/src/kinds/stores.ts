import type { Db } from '../db/connect.ts';
import type { JobRow } from '../queue/job.ts';
import type { JobSteps } from '../queue/kind.ts';
import type { BatchExec } from './batch-exec.ts';
import type { ExecReport } from './exec-results.ts';

/** The parts of the instance that a kind needs for its jobs. */
export interface KindStores {
  readonly hasBlob: (digest: string) => Promise<boolean>;
  readonly hasCommit: (repository: string, commit: string) => Promise<boolean>;
  /** Whether the configuration has an address of this instance for executors of upstream's kind, which their uploads need. */
  readonly hasExecutorUrl: boolean;
  /** What the jobs of batch changes do, step by step, and what follows their end. */
  readonly batches: {
    readonly next: JobSteps['next'];
    /** Returns what an executor of upstream's kind gets for a job. */
    readonly exec: (db: Db, job: JobRow) => Promise<BatchExec>;
    /**
     * Stores what the steps of a job have left that an executor of upstream's kind has run, also if some of them failed. Returns what is wrong
     * with what it reported; null: nothing.
     */
    readonly executed: (tx: Db, job: JobRow, report: ExecReport) => Promise<string | null>;
    /** `fault`: what is wrong with what the job's executor reported. */
    readonly ended: (tx: Db, job: JobRow, fault: string | null) => Promise<void>;
  };
}
