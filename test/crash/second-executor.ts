import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DequeueRequest, type Job, jobSchema, type Tier } from '@fumehood/protocol';
import { expect } from 'vitest';
import type { InstanceFile } from '../../packages/instance/src/helper/config.ts';
import { executorClient, nativeOffer } from '../../packages/instance/src/testing/executor-client.ts';
import type { Stack } from '../stack.ts';
import { deathOf, type Process } from './processes.ts';

/** Within this time after an executor is lost, another one gets its job. */
const requeueMs = 15_000;

/** A second executor that only speaks the protocol and runs nothing: it gets the jobs that the first executor loses. */
export function secondExecutor(stack: Stack) {
  const file = readFileSync(join(stack.state, 'run/instance.json'), 'utf8');
  const { url } = JSON.parse(file) as InstanceFile;
  const credential = readFileSync(join(stack.state, 'run/executor-credential'), 'utf8').trim();
  const executor = executorClient({ url, credential, name: 'second' });
  const tiers: Tier[] = ['vm-emulated', 'vm-hardware'];
  const room = { cpus: 1, memoryMiB: 1024, scratchMiB: 1024 };
  const request: Partial<DequeueRequest> = {
    queues: ['runs'],
    fumehood: nativeOffer({ tiers, room, waitMs: 1_000 }),
  };
  /** Resolves with the next job and the time of its lease. */
  const lease = async (): Promise<{ job: Job; at: number }> => {
    for (;;) {
      const answer = await executor.dequeue(request);
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
    async expectLeaseKept(job: Job): Promise<void> {
      expect(await executor.renew([job], tiers)).toMatchObject({ knownIds: [`${job.id}-runs`] });
    },
    /** Completes a job. Returns the status of the answer. */
    complete: async (job: Job): Promise<number> => (await executor.job(job).complete()).status,
  };
}
