import type { Clock } from '../clock.ts';
import { factsOf } from '../errors.ts';

/** How a process ended. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why the helper killed it, if it did. */
  readonly reason?: string;
}

/** A process that runs until it dies or is stopped. */
export interface Running {
  readonly exited: Promise<ProcessExit>;
  /** Asks the process to end; resolves when it is dead. */
  stop(): Promise<void>;
}

export interface Supervised<T extends Running> {
  /** The process that was started first. */
  readonly first: T;
  /** Stops the process that runs, and starts no other one. Each call asks the process again. */
  stop(): Promise<void>;
}

export interface SuperviseDeps {
  readonly clock: Clock;
  readonly log: { error(facts: object, message: string): void };
}

const firstPauseMs = 200;
const longestPauseMs = 10_000;

/**
 * Starts a process, and starts it again whenever it dies, after a pause that doubles while it cannot be started. `start` gets the
 * process that was started first, or null. Rejects with the error of the first start; later ones are logged.
 */
export async function supervise<T extends Running>(
  what: string,
  start: (first: T | null) => Promise<T>,
  { clock, log }: SuperviseDeps,
): Promise<Supervised<T>> {
  const stopping = new AbortController();
  const first = await start(null);
  let current = first;
  const startAgain = async () => {
    for (let failures = 0; !stopping.signal.aborted; failures += 1) {
      const pauseMs = Math.min(firstPauseMs * 2 ** failures, longestPauseMs);
      await clock.sleep(pauseMs, stopping.signal).catch(() => {});
      if (stopping.signal.aborted) return;
      try {
        current = await start(first);
        return;
      } catch (error) {
        log.error({ error: factsOf(error) }, `${what} did not start`);
      }
    }
  };
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      const exit = await current.exited;
      if (stopping.signal.aborted) return;
      log.error(exit, `${what} died; it is started again`);
      await startAgain();
    }
  })();
  return {
    first,
    async stop() {
      stopping.abort();
      await current.stop();
      await watching;
      await current.stop(); // a start that was under way when `stop` was called
    },
  };
}
