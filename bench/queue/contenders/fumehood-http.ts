import { setTimeout as delay } from 'node:timers/promises';
import { executorClient } from '../../../packages/instance/src/testing/executor-client.ts';
import { startInstanceProcess } from '../processes/start.ts';
import type { Bench } from '../scenarios/scenario.ts';
import type { BenchDatabase } from '../server.ts';
import type { Dispatcher } from './dispatcher.ts';

const room = { cpus: 64, memoryMiB: 1 << 20, scratchMiB: 1 << 20 };

/** Returns Fumehood as a dispatcher over HTTP, against an instance in a separate process: executors that hold a long poll, and a user's POST. */
export async function fumehoodDispatch(bench: Bench, database: BenchDatabase): Promise<Dispatcher> {
  const instance = await startInstanceProcess(bench.cleanup, database);
  const { url, accessToken, credential, image } = instance.ready;
  const work = async (worker: number, leased: (id: string) => void, signal: AbortSignal) => {
    const executor = executorClient({ url, credential, name: `bench-${worker}` });
    while (!signal.aborted) {
      const job = await executor.lease({ room, waitMs: 60_000, signal }).catch(() => null);
      if (!job) continue;
      leased(String(job.id));
      await executor.job(job).complete();
    }
  };
  return {
    name: 'fumehood, long poll',
    note: 'over HTTP on loopback, the instance in a separate process: POST /api/jobs, and executors whose dequeue is held. The others call their library in this process.',
    async send() {
      const request = { queue: 'runs', image, argv: ['true'], accept: ['vm-emulated'] };
      const answer = await fetch(`${url}/api/jobs`, {
        method: 'POST',
        headers: { authorization: `token ${accessToken}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
      });
      return String(((await answer.json()) as { id: number }).id);
    },
    async start(workers, leased) {
      const stopping = new AbortController();
      const working = Array.from({ length: workers }, (_, worker) => work(worker, leased, stopping.signal));
      return async () => {
        stopping.abort();
        await Promise.all(working);
        await delay(100); // until the instance has seen them go
      };
    },
    close: () => instance.stop(),
  };
}
