import { setTimeout as delay } from 'node:timers/promises';
import { jobSchema, protocolHeader, protocolVersion } from '@fumehood/protocol';
import { startInstanceProcess } from '../processes/start.ts';
import type { Bench } from '../scenarios/scenario.ts';
import type { BenchDatabase } from '../server.ts';
import type { Dispatcher } from './dispatcher.ts';

const executor = (worker: number) => `bench-${worker}`;
const room = { cpus: 64, memoryMiB: 1 << 20, scratchMiB: 1 << 20 };

/** Ours over HTTP, against an instance in a process of its own: executors that hold a long poll, and a person's POST. */
export async function fumehoodDispatch(bench: Bench, database: BenchDatabase): Promise<Dispatcher> {
  const instance = await startInstanceProcess(bench.cleanup, database);
  const { url, accessToken, credential, image } = instance.ready;
  const post = (path: string, authorization: string, body: unknown, more?: object, signal?: AbortSignal) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json', ...more },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    });

  const dequeue = async (worker: number, signal: AbortSignal) => {
    const free = { freeCpus: room.cpus, freeMemoryMiB: room.memoryMiB, freeScratchMiB: room.scratchMiB };
    const body = {
      executorName: executor(worker),
      version: '0.1.0',
      queues: ['runs'],
      fumehood: { tiers: ['vm-emulated'], arch: 'x64', waitMs: 60_000, total: room, ...free },
    };
    const authorization = `token-executor ${credential}`;
    const headers = { [protocolHeader]: protocolVersion };
    const answer = await post('/.executors/queue/dequeue', authorization, body, headers, signal);
    return answer.status === 204 ? null : jobSchema.parse(await answer.json());
  };
  const work = async (worker: number, leased: (id: string) => void, signal: AbortSignal) => {
    while (!signal.aborted) {
      const job = await dequeue(worker, signal).catch(() => null);
      if (!job) continue;
      leased(String(job.id));
      const body = { jobId: job.id, executorName: executor(worker) };
      const headers = {
        'x-sourcegraph-job-id': String(job.id),
        'x-sourcegraph-executor-name': executor(worker),
      };
      await post('/.executors/queue/runs/markComplete', `Bearer ${job.token}`, body, headers);
    }
  };
  return {
    name: 'fumehood, long poll',
    note: 'over HTTP on loopback, the instance in a process of its own: POST /api/jobs, and executors whose dequeue is held. The others call their library in this process.',
    async send() {
      const request = { queue: 'runs', image, argv: ['true'], accept: ['vm-emulated'] };
      const answer = await post('/api/jobs', `token ${accessToken}`, request);
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
