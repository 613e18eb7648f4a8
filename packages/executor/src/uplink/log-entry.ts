export type OutputStream = 'stdout' | 'stderr';

/** What every request about a log entry repeats. */
export interface EntryFacts {
  readonly key: string;
  readonly command: string[];
  readonly startTime: string;
}

/** The end of a phase. */
export interface EntryEnd {
  readonly exitCode: number;
  readonly durationMs: number;
}

/** The whole output of a phase so far, and its end once it is over. Only instances of upstream's kind get it. */
export interface EntryText extends Partial<EntryEnd> {
  readonly out: string;
}

/** The open log entry of one phase. */
export interface PhaseLog {
  /** Resolves when there is room for more output. The writer waits for that. Rejects with the errors of the uplink. */
  write(stream: OutputStream, chunk: Uint8Array): Promise<void>;
  /** Sends the output that is left, then the exit code. */
  end(exitCode: number): Promise<void>;
}
