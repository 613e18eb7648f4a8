import { type Clock, factsOf } from '@fumehood/base';
import type { Order, QueueName } from '@fumehood/protocol';
import { canceled, leaseLost } from '../errors.ts';
import { reportChanges, withRemedy } from '../log.ts';
import type { JobReference, QueueClient } from './queue.ts';
import { withTimeout } from './retry.ts';

/** The lease of a held job. Its deadline counts, in boot time, from the sending of the last heartbeat that was answered. */
export interface Lease {
  /** Aborted when the job has to stop: with `lease_lost`, `canceled`, or the reason given to `stop`. */
  readonly stopped: AbortSignal;
  /** Aborted when every process of the job has to die at once. That is not so after a cancel: a step has its grace period. */
  readonly killed: AbortSignal;
  /** Aborted when no request about the job is allowed any more: with `lease_lost`. */
  readonly lost: AbortSignal;
  /** Returns the boot time, in ms, at which every process of the job must be dead. */
  deadline(): number;
  /** Calls the listener with every later deadline, until the lease is released. */
  onRenewed(listener: (deadline: number) => void): void;
  /** Stops the job at once. Its end can still be reported. */
  stop(reason: Error): void;
  release(): void;
}

/** The leases of an executor. */
export interface Leases {
  /**
   * Takes over a job that was just leased. Resolves at the first answered heartbeat, before which no VM may boot. Errors:
   * `lease_lost`, `canceled`.
   */
  hold(job: JobReference, leaseMs: number): Promise<Lease>;
  /** Returns whether the instance wants this executor to lease nothing more. */
  draining(): boolean;
  /** Applies a pushed order. An order is idempotent, and does nothing when it names another attempt than the held one. */
  applyOrder(order: Order): void;
  /** Sends heartbeats until `ended` is aborted. */
  run(ended: AbortSignal): Promise<void>;
}

/** Time between two heartbeats, in ms. */
const intervalMs = 2_000;
/** The same while the instance refuses our version of the protocol and no job is held. */
const refusedIntervalMs = 30_000;
/** Time after which a heartbeat without an answer is given up, in ms. */
const answerMs = 4_000;
/** How much earlier a lease ends on the executor than on the instance, in ms, so that the VM is dead before the next attempt. */
export const marginMs = 2_000;
const revoked = () => leaseLost('the instance gave it up');

interface HeldJob {
  readonly job: JobReference;
  readonly leaseMs: number;
  readonly stopped: AbortController;
  readonly killed: AbortController;
  readonly lost: AbortController;
  readonly listeners: ((deadline: number) => void)[];
  /** Settled by the first answer. */
  readonly confirmed: PromiseWithResolvers<void>;
  /** Before the first answer, the time by which it must arrive. */
  deadline: number;
}

/** Keeps the leases of an executor: renews them by heartbeats, and stops the jobs whose leases end. */
export function keepLeases(deps: {
  readonly queue: QueueClient;
  readonly queues: QueueName[];
  readonly clock: Clock;
  readonly onTrouble: (message: string) => void;
}): Leases {
  const { queue, queues, clock } = deps;
  const report = reportChanges(deps.onTrouble);
  const held = new Set<HeldJob>();
  let draining = false;

  const askToStop = (entry: HeldJob, reason: Error) => {
    entry.confirmed.reject(reason);
    entry.stopped.abort(reason);
  };
  const cancel = (entry: HeldJob) => askToStop(entry, canceled('somebody asked for it'));
  const stop = (entry: HeldJob, reason: Error) => {
    entry.killed.abort(reason);
    askToStop(entry, reason);
  };
  const lose = (entry: HeldJob, reason: Error) => {
    held.delete(entry);
    entry.lost.abort(reason);
    stop(entry, reason);
  };
  const loseExpired = () => {
    for (const entry of held)
      if (clock.bootTime() >= entry.deadline) lose(entry, leaseLost('no heartbeat was answered in time'));
  };
  const renew = (entry: HeldJob, deadline: number) => {
    if (clock.bootTime() >= deadline) return; // the answer came too late
    entry.deadline = Math.max(entry.deadline, deadline);
    entry.confirmed.resolve();
    for (const listener of entry.listeners) listener(entry.deadline);
  };
  const sendHeartbeat = async () => {
    // A process that was suspended must not renew a lease that has ended meanwhile. Its late answer must not renew one either.
    loseExpired();
    const asked = [...held];
    const sent = clock.bootTime();
    const jobs = asked.map((entry) => entry.job);
    const answer = await withTimeout(clock, answerMs, 'renew leases', (signal) =>
      queue.heartbeat(queues, jobs, signal),
    );
    loseExpired();
    draining = answer.fumehood?.draining ?? false;
    const known = new Set(answer.knownIds ?? []);
    const toCancel = new Set(answer.cancelIds ?? []);
    for (const entry of asked) {
      if (!held.has(entry)) continue;
      const name = `${entry.job.id}-${entry.job.queue}`;
      // An answer that cancels the job also confirms its lease: without a lease, the job's end could not be reported.
      if (known.has(name)) renew(entry, sent + entry.leaseMs - marginMs);
      else lose(entry, revoked());
      if (toCancel.has(name)) cancel(entry);
    }
  };
  /** Sends a heartbeat and reports a failure. Resolves with the code of the error, or undefined. */
  const tryHeartbeat = async () => {
    const failure = await sendHeartbeat().then(() => null, factsOf);
    report(failure && withRemedy(failure));
    loseExpired();
    return failure?.code;
  };
  const release = (entry: HeldJob) => {
    held.delete(entry);
    // A native instance waits for the heartbeat that does not name the canceled job, so it is sent at once.
    if (factsOf(entry.stopped.signal.reason).code === 'canceled') void tryHeartbeat();
  };

  return {
    async hold(job, leaseMs) {
      const entry: HeldJob = {
        job,
        leaseMs,
        stopped: new AbortController(),
        killed: new AbortController(),
        lost: new AbortController(),
        listeners: [],
        confirmed: Promise.withResolvers<void>(),
        // This only bounds the wait for the first answer. The lease itself cannot be counted from the request for a job, which
        // the instance may have held for long.
        deadline: clock.bootTime() + leaseMs - marginMs,
      };
      entry.confirmed.promise.catch(() => {});
      held.add(entry);
      void tryHeartbeat();
      try {
        await entry.confirmed.promise;
      } catch (error) {
        release(entry); // heartbeats would go on renewing it
        throw error;
      }
      return {
        stopped: entry.stopped.signal,
        killed: entry.killed.signal,
        lost: entry.lost.signal,
        deadline: () => entry.deadline,
        onRenewed: (listener) => void entry.listeners.push(listener),
        stop: (reason) => stop(entry, reason),
        release: () => release(entry),
      };
    },
    draining: () => draining,
    applyOrder(order) {
      if (order.type === 'drain') draining = order.draining;
      if (order.type !== 'cancel' && order.type !== 'lost') return;
      const { jobId, queue, attempt } = order;
      for (const entry of held) {
        const { job } = entry;
        if (job.id !== jobId || job.queue !== queue || job.attempt !== attempt) continue;
        if (order.type === 'cancel') cancel(entry);
        else lose(entry, revoked());
      }
    },
    async run(ended) {
      const pause = async () => {
        const next = Math.min(...[...held].map((entry) => entry.deadline - clock.bootTime()), intervalMs);
        await clock.sleep(Math.max(next, 10), ended).catch(() => {});
        loseExpired();
      };
      let failure: string | undefined;
      while (!ended.aborted) {
        // The next heartbeat does not wait for this answer, so a dead connection costs one heartbeat and not the lease.
        void tryHeartbeat().then((code) => {
          failure = code;
        });
        const sent = clock.bootTime();
        const isRefused = () => failure === 'versions_apart' && clock.bootTime() < sent + refusedIntervalMs;
        do await pause();
        while (isRefused() && held.size === 0 && !ended.aborted);
      }
    },
  };
}
