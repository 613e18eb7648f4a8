import { factsOf } from '@fumehood/base';
import { type Order, type QueueName, upstreamVersion } from '@fumehood/protocol';
import { executorStopped } from '../errors.ts';
import { onChange, tellOf } from '../log.ts';
import type { Lease } from '../uplink/leases.ts';
import { followOrders, type OrderSource } from '../uplink/push-stream.ts';
import type { QueueClient, Room } from '../uplink/queue.ts';
import { within } from '../uplink/retry.ts';
import type { Reservations } from './reservations.ts';
import { type WorkDeps, workOn } from './run-job.ts';

export interface Agent {
  /** Leases and works until told to drain; resolves when the last job has ended. */
  run(): Promise<void>;
  /** Leases no more; what runs may finish. */
  drain(): void;
  /** Stops what runs. */
  stop(): void;
}

/** How long the instance may hold a request for work. Shorter while something runs, because the offer grows when it ends. */
const idleWaitMs = 30_000;
const busyWaitMs = 1_000;
/** An answer that is later than this has got lost on its way: nobody tells of a connection that died. */
const lateMs = 10_000;
/** Before asking again when the instance cannot be reached, holds no request, or wants nothing to be leased, or nothing fits. */
const pauseMs = 1_000;
/** The same, of an instance that refuses our version. */
const refusedPauseMs = 30_000;

export function makeAgent(
  deps: WorkDeps & {
    readonly queue: QueueClient & OrderSource;
    readonly queues: QueueName[];
    readonly room: Reservations;
    /** What a job gets that does not say it. */
    readonly jobRoom: Room;
  },
): Agent {
  const { clock, leases, queue, queues, room, log } = deps;
  const draining = new AbortController();
  const running = new Set<Promise<void>>();
  const held = new Set<Lease>();
  /** Aborted, and made anew, to end a pause. */
  let rouse = new AbortController();
  const pause = (ms = pauseMs) =>
    clock.sleep(ms, AbortSignal.any([draining.signal, rouse.signal])).catch(() => {});
  const obey = (order: Order) => {
    leases.obey(order);
    if (order.type !== 'work' && order.type !== 'drain') return;
    rouse.abort(new Error('there is news'));
    rouse = new AbortController();
  };

  const leaseOne = async () => {
    if (leases.draining()) return pause();
    const free = room.free();
    if (!free) {
      await Promise.race([pause(), ...running]);
      return;
    }
    // A poll that is given up may have been granted a job already; that job's lease then simply runs out.
    const waitMs = running.size > 0 ? busyWaitMs : idleWaitMs;
    const job = await within(clock, waitMs + lateMs, 'lease a job', (late) =>
      queue.lease(queues, { free, total: room.total }, waitMs, AbortSignal.any([draining.signal, late])),
    );
    if (!job && queue.version() === upstreamVersion) await pause(); // it does not hold requests
    if (!job) return;
    log.info({ job: job.id, attempt: job.fumehood?.attempt }, 'a job was leased');
    const release = room.reserve(job.fumehood?.resources ?? deps.jobRoom);
    let own: Lease | null = null;
    const work = workOn(deps, job, (lease) => {
      own = lease;
      held.add(lease);
    }).finally(() => {
      if (own) held.delete(own);
      running.delete(work);
      release();
    });
    running.add(work);
  };

  return {
    async run() {
      const beating = new AbortController();
      const trouble = (message: string) => log.warn({}, message);
      const beats = Promise.all([
        leases.run(beating.signal),
        followOrders({ source: queue, clock, obey, onTrouble: trouble }, beating.signal),
      ]);
      const say = onChange(trouble);
      while (!draining.signal.aborted) {
        try {
          await leaseOne();
          say(null);
        } catch (error) {
          if (draining.signal.aborted) break;
          const facts = factsOf(error);
          const refused = facts.code === 'versions_apart'; // the heartbeat's trouble too, and said with it
          if (!refused) say(`no job could be leased: ${tellOf(facts)}`);
          await pause(refused ? refusedPauseMs : pauseMs);
        }
      }
      await Promise.all(running);
      beating.abort();
      await beats;
    },
    drain: () => draining.abort(new Error('draining')),
    stop() {
      draining.abort(new Error('stopping'));
      for (const lease of held) lease.stop(executorStopped());
    },
  };
}
