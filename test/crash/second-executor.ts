import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Job, jobSchema, protocolHeader, protocolVersion } from '@fumehood/protocol';
import { expect } from 'vitest';
import type { Stack } from '../stack.ts';

/** A second executor, on the wire alone: it takes what the first one loses. */
export function secondExecutor(stack: Stack) {
  const { url } = JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as { url: string };
  const credential = readFileSync(join(stack.state, 'run/executor-credential'), 'utf8').trim();
  const post = (path: string, body: object, headers: Record<string, string> = {}) =>
    fetch(`${url}/.executors/queue/${path}`, {
      method: 'POST',
      headers: {
        authorization: `token-executor ${credential}`,
        [protocolHeader]: String(protocolVersion),
        ...headers,
      },
      body: JSON.stringify({ executorName: 'second', ...body }),
    });
  const room = { cpus: 1, memoryMiB: 1024, scratchMiB: 1024 };
  const offer = {
    ...{ tiers: ['vm-emulated', 'vm-hardware'], arch: 'x64', total: room, waitMs: 1_000 },
    ...{ freeCpus: 1, freeMemoryMiB: 1024, freeScratchMiB: 1024 },
  };
  return {
    /** The next job, and when it was granted. */
    async lease(): Promise<{ job: Job; at: number }> {
      for (;;) {
        const answer = await post('dequeue', { version: '0.1.0', queues: ['runs'], fumehood: offer });
        const at = performance.now();
        if (answer.status === 200) return { job: jobSchema.parse(await answer.json()), at };
        expect(answer.status).toBe(204);
      }
    },
    async beat({ id, fumehood }: Job): Promise<string[]> {
      const leases = [{ jobId: id, attempt: fumehood?.attempt }];
      const answer = await post('heartbeat', {
        queueNames: ['runs'],
        jobIdsByQueue: [{ queueName: 'runs', jobIds: [String(id)] }],
        fumehood: { tiers: offer.tiers, leases },
      });
      return ((await answer.json()) as { knownIds: string[] }).knownIds;
    },
    async complete({ id, token }: Job): Promise<number> {
      const headers = {
        authorization: `Bearer ${token}`,
        'x-sourcegraph-job-id': String(id),
        'x-sourcegraph-executor-name': 'second',
      };
      return (await post('runs/markComplete', { jobId: id }, headers)).status;
    },
  };
}
