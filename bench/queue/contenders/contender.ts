/** The number of jobs that were leased, completed and committed, and how long that took. */
export interface Work {
  readonly completed: number;
  readonly ms: number;
}

/** The limits of a run of `work`; the first that is reached ends it. */
export interface WorkLimit {
  readonly jobs: number;
  readonly ms: number;
}

/** A queue in its own database on the shared server, used as its documentation recommends. */
export interface Contender {
  readonly name: string;
  /** How the queue is used here. */
  readonly note: string;
  /** Stores jobs one by one from `clients` concurrent clients. Each job is committed when its call returns. */
  enqueue(jobs: number, clients: number): Promise<void>;
  /** Stores queued jobs in bulk, without the queue's own functions, and analyzes the tables. */
  fill(jobs: number): Promise<void>;
  /** Lets `workers` concurrent workers lease and complete jobs. */
  work(workers: number, limit: WorkLimit): Promise<Work>;
  close(): Promise<void>;
}

/** Runs `clients` concurrent clients that share `jobs` turns. `turn` takes one, and returns false when none is left. */
export async function shareTurns(
  jobs: number,
  clients: number,
  client: (turn: () => boolean) => Promise<void>,
): Promise<void> {
  let left = jobs;
  const turn = () => {
    left -= 1;
    return left >= 0;
  };
  await Promise.all(Array.from({ length: clients }, () => client(turn)));
}

/**
 * Implements `work` for a queue that workers poll. `step` leases and completes some jobs and returns how many; 0 ends the worker.
 */
export async function workByPolling(
  workers: number,
  limit: WorkLimit,
  step: () => Promise<number>,
): Promise<Work> {
  const start = performance.now();
  let completed = 0;
  const worker = async () => {
    while (completed < limit.jobs && performance.now() - start < limit.ms) {
      const done = await step();
      if (done === 0) return;
      completed += done;
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  return { completed, ms: performance.now() - start };
}

/** Connections of every contender: one for each of 16 workers, and a few for the queue itself. */
export const poolSize = 20;
