import { factsOf } from '@fumehood/base';
import { type Order, type QueueName, upstreamVersion } from '@fumehood/protocol';
import { executorStopped } from '../errors.ts';
import { reportChanges, withRemedy } from '../log.ts';
import type { Lease } from '../uplink/leases.ts';
import { followPushStream, type PushSource } from '../uplink/push-stream.ts';
import type { QueueClient, Resources } from '../uplink/queue.ts';
import { withTimeout } from '../uplink/retry.ts';
import type { RunOutcome } from '../runtime/runtime.ts';
import { afterCanary, afterJob, type Health, pauseBeforeCanaryMs } from './health.ts';
import { type Reservations, smallerOf } from './reservations.ts';
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
    /** What is known of this machine, which the heartbeats report. */
    readonly health: { current: Health };
  },
): Agent {
  const { clock, health, leases, queue, queues, reservations, log } = deps;
  const draining = new AbortController();
  const running = new Set<Promise<void>>();
  const held = new Set<Lease>();
  /** The size of the last job that failed because of the machine. The canary has the same. */
  let failedSize = deps.defaultResources;
  /** Aborted, and replaced, when the executor stops leasing because of its machine. */
  let troubled = new AbortController();
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

  const noteEnd = ({ machine, failure }: RunOutcome, size: Resources) => {
    if (machine === 'fault') failedSize = size;
    const leased = health.current.trouble === null;
    health.current = afterJob(health.current, machine, factsOf(failure).message);
    const { trouble } = health.current;
    if (!leased || trouble === null) return;
    log.warn({ trouble }, 'jobs failed because of this machine: no job is leased until a canary has booted');
    troubled.abort(new Error('this machine has failed several jobs'));
    troubled = new AbortController();
  };
  /** Waits, and tries with a canary whether this machine can run jobs again. */
  const tryMachine = async () => {
    await clock.sleep(pauseBeforeCanaryMs(health.current), draining.signal);
    const free = reservations.free();
    if (!free) return;
    const size = smallerOf(failedSize, free);
    const release = reservations.reserve(size);
    const failure = await deps.runtime.tryMachine(size, draining.signal).then(() => null, factsOf);
    release();
    health.current = afterCanary(health.current, failure && failure.message);
    if (failure) log.warn({ failure }, 'the canary failed: no job is leased');
    else log.info({}, 'the canary booted: jobs are leased again');
  };

  const leaseOne = async () => {
    if (leases.draining()) return pause();
    if (health.current.trouble !== null) return tryMachine();
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
        AbortSignal.any([draining.signal, troubled.signal, timeout]),
      ),
    );
    if (!job && queue.version() === upstreamVersion) await pause(); // such an instance does not hold requests
    if (!job) return;
    log.info({ job: job.id, attempt: job.fumehood?.attempt }, 'a job was leased');
    const size = job.fumehood?.resources ?? deps.defaultResources;
    const releaseResources = reservations.reserve(size);
    let own: Lease | null = null;
    const run = runJob(deps, job, (lease) => {
      own = lease;
      held.add(lease);
    }).then((outcome) => {
      if (own) held.delete(own);
      running.delete(run);
      releaseResources();
      if (outcome) noteEnd(outcome, size);
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
          if (health.current.trouble !== null) continue; // the request for a job was given up
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
