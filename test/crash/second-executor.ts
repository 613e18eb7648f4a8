import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Job, jobSchema, protocolHeader, protocolVersion } from '@fumehood/protocol';
import { expect } from 'vitest';
import type { InstanceFile } from '../../packages/instance/src/helper/config.ts';
import type { Stack } from '../stack.ts';
import { deathOf, type Process } from './processes.ts';

/** Within this time after an executor is lost, another one gets its job. */
const requeueMs = 15_000;

/** A second executor that only speaks the protocol and runs nothing: it gets the jobs that the first executor loses. */
export function secondExecutor(stack: Stack) {
  const file = readFileSync(join(stack.state, 'run/instance.json'), 'utf8');
  const { url } = JSON.parse(file) as InstanceFile;
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
  /** Resolves with the next job and the time of its lease. */
  const lease = async (): Promise<{ job: Job; at: number }> => {
    for (;;) {
      const answer = await post('dequeue', { version: '0.1.0', queues: ['runs'], fumehood: offer });
      const at = performance.now();
      if (answer.status === 200) return { job: jobSchema.parse(await answer.json()), at };
      expect(answer.status).toBe(204);
    }
  };
  return {
    lease,
    /**
     * Leases the second attempt of a job whose executor was lost at `lostAt`. Expects that the VM of the first attempt is dead
     * before the lease, and that the lease comes in time.
     */
    async takeOver({ id, vmm, lostAt }: { id: number; vmm: Process; lostAt: number }): Promise<Job> {
      const [died, { job, at }] = await Promise.all([deathOf(vmm), lease()]);
      expect(job).toMatchObject({ id, fumehood: { attempt: 2 } });
      expect(died, `the VM outlived its lease by ${died - at} ms`).toBeLessThan(at);
      expect(at - lostAt, 'from the loss of the executor to the next attempt').toBeLessThan(requeueMs);
      return job;
    },
    /** Renews the lease of a job and expects that the instance still grants it. */
    async expectLeaseKept({ id, fumehood }: Job): Promise<void> {
      const leases = [{ jobId: id, attempt: fumehood?.attempt }];
      const answer = await post('heartbeat', {
        queueNames: ['runs'],
        jobIdsByQueue: [{ queueName: 'runs', jobIds: [String(id)] }],
        fumehood: { tiers: offer.tiers, leases },
      });
      expect(await answer.json()).toMatchObject({ knownIds: [`${id}-runs`] });
    },
    /** Completes a job. Returns the status of the answer. */
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
