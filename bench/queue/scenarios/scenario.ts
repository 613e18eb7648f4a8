import type { Sample } from '../measure.ts';
import type { BenchServer } from '../server.ts';

/** How much of everything. */
export interface Sizes {
  readonly rounds: number;
  /** Jobs of one measurement, by workers. */
  readonly jobs: ReadonlyMap<number, number>;
  /** A measurement ends then, with fewer jobs. */
  readonly limitMs: number;
  readonly queued: number;
  /** Jobs that end under an old snapshot before anything is measured. */
  readonly aged: number;
  readonly dispatches: number;
  readonly executors: readonly number[];
  readonly beatMs: number;
}

export interface Bench {
  readonly server: BenchServer;
  readonly sizes: Sizes;
  /** Progress, for who watches. */
  readonly say: (text: string) => void;
  /** What would stay behind if the bench ended now. */
  readonly left: AsyncDisposableStack;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** What a reader must know of each contender, ours first; empty where nobody is compared. */
  readonly notes: ReadonlyMap<string, string>;
}

export interface Scenario {
  /** For `--only`. */
  readonly name: string;
  readonly title: string;
  /** The figures are times, or shares: less is better. */
  readonly lessIsBetter: boolean;
  run(bench: Bench): Promise<Outcome>;
}
