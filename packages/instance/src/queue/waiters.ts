import type { Clock } from '@fumehood/base';
import { workTopic } from '../db/topics.ts';
import type { Wakes } from '../db/wakes.ts';
import { covers, type Offer } from './offer.ts';
import type { Leased } from './queue.ts';

/**
 * The time between two sweeps, milliseconds. Announcements can be lost, and a job whose `process_after` has come is not
 * announced: a sweep asks the database for all waiting requests again.
 */
const sweepMs = 1_000;
/** The waiting executors are marked as connected after this many sweeps. */
const sweepsPerConnected = 5;

/** A request of an executor for a job. */
export interface WorkRequest {
  readonly offer: Offer;
  /** Tries to lease a job that fits the offer. */
  readonly ask: () => Promise<Leased | 'nothing' | 'barred'>;
  /** How long the request may be held, milliseconds. */
  readonly waitMs: number;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
}

/** The requests for a job that this process holds open until there is one (long poll). */
export interface Waiters {
  /** Returns a leased job as soon as there is one, or null after `waitMs`. Errors: those of `ask`. */
  wait(request: WorkRequest): Promise<Leased | null>;
}

/** A hint that jobs may be waiting. Requests pass it on until one of them has leased a job. */
interface Hint {
  /** The hint of a sweep is passed on to all: any number of announcements may have been lost. */
  readonly sweeping: boolean;
  /** The requests that have had the hint. */
  readonly asked: Set<Waiter>;
  /** The offers that got nothing. A request whose offer is covered by one of them would get nothing either. */
  readonly nothingFor: Offer[];
}

/** A held request. */
interface Waiter extends WorkRequest {
  /** Its `ask` is running. */
  asking: boolean;
  /** The hint that it was given and has not used yet. */
  hint: Hint | null;
  /** Wakes it up for the hint. */
  wakeUp: () => void;
}

interface WaiterDeps {
  readonly wakes: Wakes;
  readonly clock: Clock;
  readonly stopping: AbortSignal;
  /** Called every 5 s with the names of the waiting executors, which send nothing else meanwhile. */
  readonly keepConnected: (executors: readonly string[]) => void;
}

/**
 * Lets only as many requests ask the database as there may be jobs, the longest waiting ones first: each announced job is one
 * hint in each process. A request that gets nothing passes its hint on, but not to one whose offer is covered by an offer that
 * got nothing.
 */
export function makeWaiters({ wakes, clock, stopping, keepConnected }: WaiterDeps): Waiters {
  const waiting = new Set<Waiter>();
  let listening = false;

  const passOn = (hint: Hint) => {
    const next = nextFor(hint, waiting);
    if (!next) return;
    hint.asked.add(next);
    next.hint = hint;
    next.wakeUp();
  };
  const newHint = (sweeping: boolean) => passOn({ sweeping, asked: new Set(), nothingFor: [] });

  const listen = async () => {
    const subscription = wakes.subscribe(workTopic);
    let sweptAt = clock.bootTime();
    for (let sweeps = 1; waiting.size > 0 && !stopping.aborted; ) {
      const jobs = await subscription.next(Math.max(0, sweptAt + sweepMs - clock.bootTime()), stopping);
      for (let n = 0; n < Math.min(jobs, waiting.size); n += 1) newHint(false);
      if (clock.bootTime() - sweptAt < sweepMs) continue;
      sweptAt = clock.bootTime();
      newHint(true);
      if (sweeps % sweepsPerConnected === 0) keepConnected([...waiting].map(({ offer }) => offer.executor));
      sweeps += 1;
    }
    subscription.close();
    listening = false;
  };

  return {
    async wait(request) {
      const { waitMs, gone, ask, offer } = request;
      const waiter: Waiter = { ...request, asking: true, hint: null, wakeUp: () => {} };
      const deadline = clock.bootTime() + waitMs;
      // The hint for which the request asks now; null the first time.
      let used: Hint | null = null;
      waiting.add(waiter);
      if (!listening) {
        listening = true;
        void listen();
      }
      try {
        while (!gone.aborted) {
          waiter.asking = true;
          const answer = await ask();
          waiter.asking = false;
          if (typeof answer === 'object') {
            if (!used?.sweeping) used = null; // this job was what the hint announced
            return answer;
          }
          if (used) {
            if (answer === 'nothing') used.nothingFor.push(offer);
            passOn(used);
          }
          if (!waiter.hint) await untilHint(waiter, deadline - clock.bootTime());
          used = waiter.hint;
          waiter.hint = null;
          if (!used) return null;
        }
        return null;
      } finally {
        waiting.delete(waiter);
        for (const hint of [used, waiter.hint]) if (hint) passOn(hint);
      }
    },
  };

  /** Resolves when the request has been given a hint, its client has gone, or the time is over. */
  async function untilHint(waiter: Waiter, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = new AbortController();
    waiter.wakeUp = resolve;
    const timeout = clock.sleep(Math.max(0, ms), AbortSignal.any([waiter.gone, done.signal])).catch(() => {});
    await Promise.race([promise, timeout]);
    done.abort();
  }
}

/**
 * Returns the request that gets the hint next: one without a hint that may get a job, preferably one that is not asking just
 * now.
 */
function nextFor(hint: Hint, waiting: ReadonlySet<Waiter>): Waiter | undefined {
  let asking: Waiter | undefined;
  for (const waiter of waiting) {
    if (waiter.hint || waiter.gone.aborted || hint.asked.has(waiter)) continue;
    if (hint.nothingFor.some((offer) => covers(offer, waiter.offer))) continue;
    if (!waiter.asking) return waiter;
    asking ??= waiter;
  }
  return asking;
}
