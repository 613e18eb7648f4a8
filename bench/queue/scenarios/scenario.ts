import type { Sample } from '../measure.ts';
import type { BenchServer } from '../server.ts';

/** The sizes of the measurements. */
export interface Sizes {
  readonly rounds: number;
  /** Jobs of one measurement, by the number of workers. */
  readonly jobs: ReadonlyMap<number, number>;
  /** Time after which a measurement ends with fewer jobs. */
  readonly limitMs: number;
  readonly queued: number;
  /** Jobs that end under an old snapshot before the measurement. */
  readonly aged: number;
  readonly dispatches: number;
  readonly executors: readonly number[];
  readonly beatMs: number;
}

export interface Bench {
  readonly server: BenchServer;
  readonly sizes: Sizes;
  /** Prints progress. */
  readonly progress: (text: string) => void;
  /** Releases what the bench holds when it ends. */
  readonly cleanup: AsyncDisposableStack;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** The note of each contender, ours first; empty when nothing is compared. */
  readonly notes: ReadonlyMap<string, string>;
}

export interface Scenario {
  /** The name for `--only`. */
  readonly name: string;
  readonly title: string;
  /** Less is better: the figures are times or shares. */
  readonly lessIsBetter: boolean;
  run(bench: Bench): Promise<Outcome>;
}
