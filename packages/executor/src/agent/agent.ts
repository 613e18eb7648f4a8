import { factsOf } from '@fumehood/base';
import { type Order, type QueueName, upstreamVersion } from '@fumehood/protocol';
import { executorStopped } from '../errors.ts';
import { reportChanges, withRemedy } from '../log.ts';
import type { Lease } from '../uplink/leases.ts';
import { followPushStream, type PushSource } from '../uplink/push-stream.ts';
import type { QueueClient, Resources } from '../uplink/queue.ts';
import { withTimeout } from '../uplink/retry.ts';
import type { Reservations } from './reservations.ts';
import { runJob, type RunJobDeps } from './run-job.ts';

/** The agent of an executor. */
export interface Agent {
  /** Leases and runs jobs until `drain` or `stop`. Resolves when the last job has ended. */
  run(): Promise<void>;
  /** Leases no more jobs. Those that run may finish. */
  drain(): void;
  /** Leases no more jobs, and stops those that run. */
  stop(): void;
}

/**
 * How long the instance may hold a request for a job, in ms. It is shorter while a job runs, because the offer grows when that
 * job ends.
 */
const idleWaitMs = 30_000;
const busyWaitMs = 1_000;
/** An answer that is later than the wait by this much, in ms, is given up: a connection may die without an error. */
const lateMs = 10_000;
/**
 * The pause before the next request, in ms, when the instance is unreachable, does not hold requests, or drains this executor, and
 * when no resources are free.
 */
const pauseMs = 1_000;
/** The same when the instance refuses our version of the protocol. */
const refusedPauseMs = 30_000;

/** Makes the agent of an executor: it leases jobs that fit the free resources, and runs each of them. */
export function makeAgent(
  deps: RunJobDeps & {
    readonly queue: QueueClient & PushSource;
    readonly queues: QueueName[];
    readonly reservations: Reservations;
    /** Reserved for a job that does not state its resources, because its instance is of upstream's kind. */
    readonly defaultResources: Resources;
  },
): Agent {
  const { clock, leases, queue, queues, reservations, log } = deps;
  const draining = new AbortController();
  const running = new Set<Promise<void>>();
  const held = new Set<Lease>();
  /** Aborted, and replaced, to end a pause early. */
  let wakeUp = new AbortController();
  const pause = (ms = pauseMs) =>
    clock.sleep(ms, AbortSignal.any([draining.signal, wakeUp.signal])).catch(() => {});
  const applyOrder = (order: Order) => {
    leases.applyOrder(order);
    if (order.type !== 'work' && order.type !== 'drain') return;
    wakeUp.abort(new Error('an order has arrived'));
    wakeUp = new AbortController();
  };

  const leaseOne = async () => {
    if (leases.draining()) return pause();
    const free = reservations.free();
    if (!free) {
      await Promise.race([pause(), ...running]);
      return;
    }
    // The instance may have leased a job to a request that is given up here. The lease of that job then runs out.
    const waitMs = running.size > 0 ? busyWaitMs : idleWaitMs;
    const job = await withTimeout(clock, waitMs + lateMs, 'lease a job', (timeout) =>
      queue.lease(
        queues,
        { free, total: reservations.total },
        waitMs,
        AbortSignal.any([draining.signal, timeout]),
      ),
    );
    if (!job && queue.version() === upstreamVersion) await pause(); // such an instance does not hold requests
    if (!job) return;
    log.info({ job: job.id, attempt: job.fumehood?.attempt }, 'a job was leased');
    const releaseResources = reservations.reserve(job.fumehood?.resources ?? deps.defaultResources);
    let own: Lease | null = null;
    const run = runJob(deps, job, (lease) => {
      own = lease;
      held.add(lease);
    }).finally(() => {
      if (own) held.delete(own);
      running.delete(run);
      releaseResources();
    });
    running.add(run);
  };

  return {
    async run() {
      const ended = new AbortController();
      const onTrouble = (message: string) => log.warn({}, message);
      const uplink = Promise.all([
        leases.run(ended.signal),
        followPushStream({ source: queue, clock, applyOrder, onTrouble }, ended.signal),
      ]);
      const report = reportChanges(onTrouble);
      while (!draining.signal.aborted) {
        try {
          await leaseOne();
          report(null);
        } catch (error) {
          if (draining.signal.aborted) break;
          const facts = factsOf(error);
          const refused = facts.code === 'versions_apart'; // the heartbeats report this
          if (!refused) report(`no job could be leased: ${withRemedy(facts)}`);
          await pause(refused ? refusedPauseMs : pauseMs);
        }
      }
      await Promise.all(running);
      ended.abort();
      await uplink;
    },
    drain: () => draining.abort(new Error('draining')),
    stop() {
      draining.abort(new Error('stopping'));
      for (const lease of held) lease.stop(executorStopped());
    },
  };
}
