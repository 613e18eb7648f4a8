import { type Answer, factsOf, systemClock } from '@fumehood/base';
import { makeAgent } from '../agent/agent.ts';
import { healthy } from '../agent/health.ts';
import { openReservations } from '../agent/reservations.ts';
import { canceled } from '../errors.ts';
import { type Http, openHttp } from '../uplink/http.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';

/** An agent whose jobs run, without a VM, until they have to stop. */
export class WaitingAgent {
  /** Running jobs, as `<id> <attempt>`. */
  readonly running = new Set<string>();
  /** The stopped jobs, in order, with the code of the reason. */
  readonly stopped: { readonly job: string; readonly code: string }[] = [];
  readonly warnings: string[] = [];
  /** Paths of the answered requests. A stream counts when it begins. */
  readonly answered: string[] = [];
  /** Requests with a path that matches get no answer. */
  withheld: RegExp | null = null;
  private readonly agent: { run(): Promise<void>; stop(): void };
  private readonly ran: Promise<void>;

  constructor(instanceUrl: string, credential: string) {
    const name = 'waiting';
    const plain = openHttp(instanceUrl);
    const http: Http = async (request) => {
      if (this.withheld?.test(request.path)) return unanswered(request.signal);
      const response = await plain(request);
      this.answered.push(request.path);
      return response;
    };
    const identity = {
      ...{
        name,
        version: '0',
        credential: { secret: credential, renew: async () => false },
        labels: [],
        machine: 'here',
      },
      ...{ tiers: ['vm-emulated' as const], arch: 'x64' as const },
    };
    const queue = openQueue(http, identity);
    const onTrouble = (message: string) => void this.warnings.push(message);
    const leases = keepLeases({ queue, queues: ['runs'], clock: systemClock, onTrouble });
    this.agent = makeAgent({
      runtime: {
        run: async (job, lease) => {
          const name = `${job.id} ${job.fumehood?.attempt}`;
          this.running.add(name);
          await new Promise((resolve) => {
            if (lease.stopped.aborted) resolve(null);
            lease.stopped.addEventListener('abort', resolve);
          });
          this.running.delete(name);
          this.stopped.push({ job: name, code: factsOf(lease.stopped.reason).code });
          return { result: null, failure: lease.stopped.reason ?? canceled(''), machine: null };
        },
        tryMachine: () => Promise.resolve(),
      },
      ...{ clock: systemClock, executorName: name, http, leases, queue, queues: ['codeintel', 'runs'] },
      health: { current: healthy },
      defaultResources: { cpus: 1, memoryMiB: 256, scratchMiB: 256 },
      log: { info: () => {}, warn: (_facts, message) => void this.warnings.push(message) },
      reservations: openReservations({ cpus: 2, memoryMiB: 4096, scratchMiB: 8192 }),
    });
    this.ran = this.agent.run();
  }

  async stop(): Promise<void> {
    this.withheld = null;
    this.agent.stop();
    await this.ran;
  }
}

function unanswered(signal: AbortSignal | undefined): Promise<Answer> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error));
  });
}
