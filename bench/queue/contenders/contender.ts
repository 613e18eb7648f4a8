/** Jobs that were leased and completed, all of it committed, and how long that took. */
export interface Work {
  readonly completed: number;
  readonly ms: number;
}

/** When a run of `work` ends: whatever comes first. */
export interface WorkLimit {
  readonly jobs: number;
  readonly ms: number;
}

/** A queue, in a database of its own on the server that all share, used as its documentation says. */
export interface Contender {
  readonly name: string;
  /** What a reader must know of how it is used here. */
  readonly note: string;
  /** Stores jobs one by one, by `clients` at once; each is committed when its call returns. */
  enqueue(jobs: number, clients: number): Promise<void>;
  /** Stores queued jobs in bulk, past the queue's own functions, and analyzes. */
  fill(jobs: number): Promise<void>;
  /** Has `workers` lease jobs that are there and complete them. */
  work(workers: number, limit: WorkLimit): Promise<Work>;
  close(): Promise<void>;
}

/** Runs `client` `clients` times at once, until `jobs` turns have been given out; a turn is refused when none is left. */
export async function share(
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
 * `work` for a queue that is asked for jobs: `step` leases and completes some, and says how many; 0 when there are none, which
 * ends its worker.
 */
export async function workBy(workers: number, limit: WorkLimit, step: () => Promise<number>): Promise<Work> {
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

/** Connections that every contender gets: one for each of 16 workers, and a few for its own. */
export const poolSize = 20;
