import { factsOf } from '@glovebox/base';
import type { QueueName } from '@glovebox/protocol';
import { executorStopped } from '../errors.ts';
import type { Lease } from '../uplink/leases.ts';
import type { QueueClient } from '../uplink/queue.ts';
import type { Reservations } from './room.ts';
import { type WorkDeps, workOn } from './work.ts';

/** The queues whose jobs an executor can run. */
export const agentQueues: QueueName[] = ['codeintel', 'runs'];

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
/** Before asking again when the instance cannot be reached, or nothing fits. */
const pauseMs = 1_000;

export function makeAgent(
  deps: WorkDeps & { readonly queue: QueueClient; readonly queues: QueueName[]; readonly room: Reservations },
): Agent {
  const { clock, leases, queue, queues, room, log } = deps;
  const draining = new AbortController();
  const running = new Set<Promise<void>>();
  const held = new Set<Lease>();
  const pause = () => clock.sleep(pauseMs, draining.signal).catch(() => {});

  const leaseOne = async () => {
    const free = room.free();
    if (!free) {
      await Promise.race([pause(), ...running]);
      return;
    }
    // A poll that is given up may have been granted a job already; that job's lease then simply runs out.
    const job = await queue.lease(
      queues,
      { free, total: room.total },
      running.size > 0 ? busyWaitMs : idleWaitMs,
      draining.signal,
    );
    if (!job) return;
    log.info({ job: job.id, attempt: job.glovebox?.attempt }, 'a job was leased');
    const release = room.reserve(job.glovebox?.resources ?? { cpus: 1, memoryMiB: 0, scratchMiB: 0 });
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
      const beats = leases.run(beating.signal);
      while (!draining.signal.aborted) {
        try {
          await leaseOne();
        } catch (error) {
          if (draining.signal.aborted) break;
          log.warn({ error: factsOf(error) }, 'no job could be leased');
          await pause();
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
