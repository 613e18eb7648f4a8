import type { Clock } from '@fumehood/base';
import type { Logger } from 'pino';

/** Something that runs until it dies or is stopped. */
export interface Mortal {
  readonly exited: Promise<void>;
  /** Resolves when it is dead. */
  stop(): Promise<void>;
}

export interface Supervised<T extends Mortal> {
  /** The one that was started first. */
  readonly first: T;
  /** Stops what runs, and starts nothing more. */
  stop(): Promise<void>;
}

/**
 * Starts something, and again whenever it dies, with growing pauses while it does not start. The first start's error is the
 * caller's; later ones are logged. `start` gets what was started first, or null.
 */
export async function supervise<T extends Mortal>(
  what: string,
  start: (first: T | null) => Promise<T>,
  deps: { readonly clock: Clock; readonly log: Logger },
): Promise<Supervised<T>> {
  const { clock, log } = deps;
  const stopping = new AbortController();
  const first = await start(null);
  let current = first;
  const startAgain = async () => {
    for (let failures = 0; !stopping.signal.aborted; failures += 1) {
      await clock.sleep(Math.min(200 * 2 ** failures, 10_000), stopping.signal).catch(() => {});
      if (stopping.signal.aborted) return;
      try {
        current = await start(first);
        return;
      } catch (error) {
        log.error({ error }, `${what} did not start`);
      }
    }
  };
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      await current.exited;
      if (stopping.signal.aborted) return;
      log.error(`${what} died; it is started again`);
      await startAgain();
    }
  })();
  return {
    first,
    async stop() {
      stopping.abort();
      await current.stop();
      await watching;
      await current.stop(); // a start that was under way
    },
  };
}
