import { type Clock, factsOf } from '@fumehood/base';
import type { Order, QueueName } from '@fumehood/protocol';
import { canceled, leaseLost } from '../errors.ts';
import { onChange, tellOf } from '../log.ts';
import type { JobReference, QueueClient } from './queue.ts';
import { within } from './retry.ts';

/** A held job. Its deadline is on the boot-time clock, counted from the sending of the last answered heartbeat. */
export interface Lease {
  /** Aborted when the job has to stop: with `lease_lost`, `canceled`, or what `stop` was given. */
  readonly stopped: AbortSignal;
  /** Aborted when nothing of the job may be written any more: with `lease_lost`, or `canceled` by an instance that ends a token with that. */
  readonly lost: AbortSignal;
  /** Boot time (ms) at which everything of the job must be dead. */
  deadline(): number;
  /** Called with every later deadline, until the lease is released. */
  onRenewed(listener: (deadline: number) => void): void;
  /** Stops the job from our side; its end can still be told. */
  stop(reason: Error): void;
  release(): void;
}

export interface Leases {
  /** Takes over a job just leased: resolves at the first answered heartbeat, before which nothing may boot. Errors: `lease_lost`. */
  hold(job: JobReference, leaseMs: number): Promise<Lease>;
  /** The instance wants nothing more to be leased. */
  draining(): boolean;
  /** Does what the instance has told early. What it tells again, or of another attempt than the one held, does nothing. */
  obey(order: Order): void;
  /** Beats until stopped. */
  run(ended: AbortSignal): Promise<void>;
}

const intervalMs = 2_000;
/** While the instance refuses our version and there is nothing to renew. */
const refusedIntervalMs = 30_000;
/** A heartbeat that is not answered by then is given up. */
const answerMs = 4_000;
const givenUp = () => leaseLost('the instance gave it up');
/** Between our end of a lease and the instance's. */
export const marginMs = 2_000;

interface Held {
  readonly job: JobReference;
  readonly leaseMs: number;
  readonly stopped: AbortController;
  readonly lost: AbortController;
  readonly listeners: ((deadline: number) => void)[];
  readonly confirmed: PromiseWithResolvers<void>;
  /** Until the first answer: the time by which it must have come. */
  deadline: number;
}

export function keepLeases(deps: {
  readonly queue: QueueClient;
  readonly queues: QueueName[];
  readonly clock: Clock;
  readonly onTrouble: (message: string) => void;
}): Leases {
  const { queue, queues, clock } = deps;
  const say = onChange(deps.onTrouble);
  const held = new Set<Held>();
  let draining = false;

  const stop = (entry: Held, reason: Error) => {
    entry.confirmed.reject(reason);
    entry.stopped.abort(reason);
  };
  const lose = (entry: Held, reason: Error) => {
    held.delete(entry);
    entry.lost.abort(reason);
    stop(entry, reason);
  };
  /** Only upstream's instances still listen to how it ended. Ours hears of it when a heartbeat no longer names the job. */
  const cancel = (entry: Held) => {
    const reason = canceled('somebody asked for it');
    if (entry.job.attempt !== null) entry.lost.abort(reason);
    stop(entry, reason);
  };
  const expire = () => {
    for (const entry of held)
      if (clock.bootTime() >= entry.deadline) lose(entry, leaseLost('no heartbeat was answered in time'));
  };
  const beat = async () => {
    // A process that stood still asks for nothing that is dead by now; nor does an answer bring it back.
    expire();
    const asked = [...held];
    const sent = clock.bootTime();
    const jobs = asked.map((entry) => entry.job);
    const answer = await within(clock, answerMs, 'renew its leases', (signal) =>
      queue.heartbeat(queues, jobs, signal),
    );
    expire();
    draining = answer.fumehood?.draining ?? false;
    const known = new Set(answer.knownIds ?? []);
    const toCancel = new Set(answer.cancelIds ?? []);
    for (const entry of asked) {
      if (!held.has(entry)) continue;
      const name = `${entry.job.id}-${entry.job.queue}`;
      // A lease is confirmed by the answer that cancels its job, too: only under a lease can its end be told.
      if (known.has(name)) renew(entry, sent + entry.leaseMs - marginMs);
      else lose(entry, givenUp());
      if (toCancel.has(name)) cancel(entry);
    }
  };
  const renew = (entry: Held, deadline: number) => {
    // An answer may have come too late to count.
    if (clock.bootTime() >= deadline) return;
    entry.deadline = Math.max(entry.deadline, deadline);
    entry.confirmed.resolve();
    for (const listener of entry.listeners) listener(entry.deadline);
  };
  /** What went wrong, if something did. */
  const tryBeat = async () => {
    const trouble = await beat().then(() => null, factsOf);
    say(trouble && tellOf(trouble));
    expire();
    return trouble?.code;
  };

  /** A canceled job has ended for the instance with the first heartbeat that does not name it: it is not kept waiting. */
  const letGo = (entry: Held) => {
    held.delete(entry);
    if (factsOf(entry.stopped.signal.reason).code === 'canceled') void tryBeat();
  };

  return {
    async hold(job, leaseMs) {
      const entry: Held = {
        job,
        leaseMs,
        stopped: new AbortController(),
        lost: new AbortController(),
        listeners: [],
        confirmed: Promise.withResolvers<void>(),
        // A lease request may have been held for long and starts no clock; this only bounds our waiting.
        deadline: clock.bootTime() + leaseMs - marginMs,
      };
      entry.confirmed.promise.catch(() => {});
      held.add(entry);
      void tryBeat();
      try {
        await entry.confirmed.promise;
      } catch (error) {
        letGo(entry); // or it would be renewed for nobody
        throw error;
      }
      return {
        stopped: entry.stopped.signal,
        lost: entry.lost.signal,
        deadline: () => entry.deadline,
        onRenewed: (listener) => void entry.listeners.push(listener),
        stop: (reason) => stop(entry, reason),
        release: () => letGo(entry),
      };
    },
    draining: () => draining,
    obey(order) {
      if (order.type === 'drain') draining = order.draining;
      if (order.type !== 'cancel' && order.type !== 'lost') return;
      const { jobId, queue, attempt } = order;
      for (const entry of held) {
        const { job } = entry;
        if (job.id !== jobId || job.queue !== queue || job.attempt !== attempt) continue;
        if (order.type === 'cancel') cancel(entry);
        else lose(entry, givenUp());
      }
    },
    async run(ended) {
      const rest = async () => {
        const next = Math.min(...[...held].map((entry) => entry.deadline - clock.bootTime()), intervalMs);
        await clock.sleep(Math.max(next, 10), ended).catch(() => {});
        expire();
      };
      let trouble: string | undefined;
      while (!ended.aborted) {
        // The next one does not wait for the answer: a connection that has died costs one heartbeat, not the lease.
        void tryBeat().then((code) => {
          trouble = code;
        });
        const sent = clock.bootTime();
        const pauses = () => trouble === 'versions_apart' && clock.bootTime() < sent + refusedIntervalMs;
        do await rest();
        while (pauses() && held.size === 0 && !ended.aborted);
      }
    },
  };
}
