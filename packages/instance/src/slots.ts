import type { Clock } from '@fumehood/base';
import { instanceBusy, tooManyAtOnce } from './errors.ts';

/** The turns of work of which only so much is done at once. Whoever waits for a turn holds nothing but its connection. */
export interface Slots {
  /**
   * Waits for a turn, which lasts until it is disposed of. Errors: `too_many_at_once` when the holder has as many as it may,
   * `instance_busy` when no turn came in time, or before `gone` was aborted.
   */
  take(holder: string, gone: AbortSignal): Promise<Disposable>;
}

export interface SlotsOptions {
  /** For the error, e.g. `uploads`. */
  readonly what: string;
  /** The most turns at once, of one holder and of all. */
  readonly perHolder: number;
  readonly all: number;
  /** How many requests of one holder may wait for a turn. */
  readonly waiting: number;
  /** How long a request waits for its turn, milliseconds. */
  readonly turnMs: number;
}

interface Waiting {
  readonly holder: string;
  readonly start: () => void;
}

/** Makes the turns. They are given in the order of the requests, but nobody waits for one whose holder has its share. */
export function makeSlots({ what, perHolder, all, waiting, turnMs }: SlotsOptions, clock: Clock): Slots {
  const queue = new Set<Waiting>();
  const taken: string[] = [];
  const countOf = (holder: string, of: readonly string[]) => of.filter((one) => one === holder).length;
  const startNext = () => {
    for (const one of queue) {
      if (taken.length >= all) return;
      if (countOf(one.holder, taken) >= perHolder) continue;
      queue.delete(one);
      taken.push(one.holder);
      one.start();
    }
  };
  const turnOf = (holder: string): Disposable => {
    let over = false;
    return {
      [Symbol.dispose]() {
        if (over) return;
        over = true;
        taken.splice(taken.indexOf(holder), 1);
        startNext();
      },
    };
  };
  return {
    async take(holder, gone) {
      const turn = Promise.withResolvers<void>();
      const mine: Waiting = { holder, start: turn.resolve };
      queue.add(mine);
      startNext();
      if (!queue.has(mine)) return turnOf(holder);
      const others = Array.from(queue, (one) => one.holder);
      if (countOf(holder, others) > waiting) {
        queue.delete(mine);
        throw tooManyAtOnce(what, perHolder + waiting);
      }
      const started = new AbortController();
      const timeout = clock.sleep(turnMs, AbortSignal.any([gone, started.signal])).catch(() => {});
      await Promise.race([turn.promise, timeout]);
      started.abort();
      if (queue.delete(mine)) throw instanceBusy(what);
      return turnOf(holder);
    },
  };
}
