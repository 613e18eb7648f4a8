import { systemClock } from '@fumehood/base';
import { makeAgent } from '../agent/agent.ts';
import { healthy } from '../agent/health.ts';
import { openReservations } from '../agent/reservations.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Http } from '../uplink/http.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';

export interface ScriptedAgent {
  readonly name: string;
  readonly http: Http;
  readonly credential: string;
  /** Runs a job, without a VM. */
  readonly run: Runtime['run'];
  readonly onTrouble: (message: string) => void;
}

/** Starts the agent of an executor with room for two jobs. Returns a function that stops it and its jobs. */
export function startScriptedAgent({
  name,
  http,
  credential,
  run,
  onTrouble,
}: ScriptedAgent): () => Promise<void> {
  const identity = {
    ...{
      name,
      version: '0',
      credential: { secret: credential, renew: async () => false },
      labels: [],
      network: false,
    },
    ...{ machine: 'here', tiers: ['vm-emulated' as const], arch: 'x64' as const },
  };
  const queue = openQueue(http, identity);
  const leases = keepLeases({ queue, queues: ['runs'], clock: systemClock, onTrouble });
  const agent = makeAgent({
    runtime: { run, tryMachine: () => Promise.resolve() },
    ...{ clock: systemClock, executorName: name, http, leases, queue, queues: ['codeintel', 'runs'] },
    health: { current: healthy },
    defaultResources: { cpus: 1, memoryMiB: 256, scratchMiB: 256 },
    log: { info: () => {}, warn: (_facts, message) => onTrouble(message) },
    reservations: openReservations({ cpus: 2, memoryMiB: 4096, scratchMiB: 8192 }),
  });
  const ran = agent.run();
  return async () => {
    agent.stop();
    await ran;
  };
}
