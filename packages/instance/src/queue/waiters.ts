import type { Clock } from '@fumehood/base';
import { workTopic } from '../db/topics.ts';
import type { Wakes } from '../db/wakes.ts';
import type { Leased } from './queue.ts';
import { covers, type Offer } from './offer.ts';

/** Announcements are hints, which can be lost, and a job's time comes without one: the table is asked again after this. */
const sweepMs = 1_000;
/** So many of these are between two words that who waits is connected. */
const connectedEvery = 5;

export interface WorkRequest {
  readonly offer: Offer;
  /** Leases a job, if there is one for the offer. */
  readonly ask: () => Promise<Leased | 'nothing' | 'draining'>;
  /** How long it may be held. */
  readonly waitMs: number;
  /** It is no longer wanted. */
  readonly gone: AbortSignal;
}

/** Requests for work that are held until there is some, of one process. */
export interface Waiters {
  /** A job, now or as soon as there is one; null when the time is over. Errors: those of `ask`. */
  wait(request: WorkRequest): Promise<Leased | null>;
}

/** Word of one job that may wait, or of any number. It goes from one request to the next, until one has leased a job by it. */
interface Hint {
  /** It goes on when somebody has: all may have missed something. */
  readonly sweeping: boolean;
  readonly asked: Set<Waiter>;
  /** Whoever offers no more than one of these gets nothing either. */
  readonly nothingFor: Offer[];
}

interface Waiter extends WorkRequest {
  asking: boolean;
  hint: Hint | null;
  ring: () => void;
}

interface WaiterDeps {
  readonly wakes: Wakes;
  readonly clock: Clock;
  readonly stopping: AbortSignal;
  /** Told now and then of the executors that wait. */
  readonly keepConnected: (executors: readonly string[]) => void;
}

/**
 * Has only as many requests ask as there may be jobs, those first that have waited longest: each job that is announced is one
 * hint in each process. A hint that finds nothing is handed on, but to nobody who offers no more than one who got nothing.
 */
export function makeWaiters({ wakes, clock, stopping, keepConnected }: WaiterDeps): Waiters {
  const waiting = new Set<Waiter>();
  let listening = false;

  const give = (hint: Hint) => {
    const next = nextFor(hint, waiting);
    if (!next) return;
    hint.asked.add(next);
    next.hint = hint;
    next.ring();
  };
  const hint = (sweeping: boolean) => give({ sweeping, asked: new Set(), nothingFor: [] });

  const listen = async () => {
    const subscription = wakes.subscribe(workTopic);
    let sweptAt = clock.bootTime();
    for (let sweeps = 1; waiting.size > 0 && !stopping.aborted; ) {
      const jobs = await subscription.next(Math.max(0, sweptAt + sweepMs - clock.bootTime()), stopping);
      for (let n = 0; n < Math.min(jobs, waiting.size); n += 1) hint(false);
      if (clock.bootTime() - sweptAt < sweepMs) continue;
      sweptAt = clock.bootTime();
      hint(true);
      if (sweeps % connectedEvery === 0) keepConnected([...waiting].map(({ offer }) => offer.executor));
      sweeps += 1;
    }
    subscription.close();
    listening = false;
  };

  return {
    async wait(request) {
      const { waitMs, gone, ask, offer } = request;
      const own: Waiter = { ...request, asking: true, hint: null, ring: () => {} };
      const deadline = clock.bootTime() + waitMs;
      let taken: Hint | null = null;
      waiting.add(own);
      if (!listening) {
        listening = true;
        void listen();
      }
      try {
        while (!gone.aborted) {
          own.asking = true;
          const answer = await ask();
          own.asking = false;
          if (typeof answer === 'object') {
            if (!taken?.sweeping) taken = null;
            return answer;
          }
          if (taken) {
            if (answer === 'nothing') taken.nothingFor.push(offer);
            give(taken);
          }
          if (!own.hint) await rung(own, deadline - clock.bootTime());
          taken = own.hint;
          own.hint = null;
          if (!taken) return null;
        }
        return null;
      } finally {
        waiting.delete(own);
        for (const unused of [taken, own.hint]) if (unused) give(unused);
      }
    },
  };

  /** Resolves when it has a hint, or is not to be held any longer. */
  async function rung(own: Waiter, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = new AbortController();
    own.ring = resolve;
    const late = clock.sleep(Math.max(0, ms), AbortSignal.any([own.gone, done.signal])).catch(() => {});
    await Promise.race([promise, late]);
    done.abort();
  }
}

/** Who waits without a hint and may get something by this one: rather one that does not ask just now. */
function nextFor(hint: Hint, waiting: ReadonlySet<Waiter>): Waiter | undefined {
  let asking: Waiter | undefined;
  for (const one of waiting) {
    if (one.hint || one.gone.aborted || hint.asked.has(one)) continue;
    if (hint.nothingFor.some((offer) => covers(offer, one.offer))) continue;
    if (!one.asking) return one;
    asking ??= one;
  }
  return asking;
}
