import type { JobLife, JobResultRequest } from '@fumehood/protocol';

/** What the modelled database stores of a job. */

export interface LogEntry {
  readonly key: string;
  exitCode: number | null;
  readonly stdout: Buffer[];
  readonly stderr: Buffer[];
}

export interface StoredAttempt {
  readonly attempt: number;
  readonly executor: string;
  outcome: string;
  result: JobResultRequest | null;
  readonly entries: LogEntry[];
}

export interface StoredJob {
  readonly id: number;
  readonly input: Buffer;
  readonly takesInput: boolean;
  life: JobLife;
  executor: string | null;
  token: string | null;
  expiresAt: number | null;
  processAfter: number;
  reason: string | null;
  finishedAt: number | null;
  readonly attempts: StoredAttempt[];
  /** How many times the job has ended. */
  ends: number;
}

/** The lease of a token at the time of its look-up. */
export interface JobLease {
  readonly token: string;
  readonly jobId: number;
  readonly attempt: number;
  readonly executor: string;
}

export function lengthOf(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}
