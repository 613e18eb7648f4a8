import { defaultEgress, type Job } from '@fumehood/protocol';
import { type BatchJob, newBatchJob } from '../kinds/batches.ts';
import { enqueue } from '../queue/queue.ts';
import { extendLease, type TestInstance } from './instance.ts';

/** A job of a batch change with two steps. */
export const batchJob: BatchJob = {
  ...{ repository: 'acme/payments', commit: '0'.repeat(40), path: '', onlyFetchWorkspace: false },
  images: ['alpine:3', 'node:22'],
  ...{ accept: ['vm-emulated'], arch: null, labels: [], cpus: 1, memoryMiB: 512, scratchMiB: 1024 },
  ...{ network: defaultEgress.batches, broker: [], deadlineMs: 60_000, stopGraceMs: 1_000 },
  ...{ inspect: false, maxResets: 3, maxRetries: 0, exec: false },
};

/** Stores a job of a batch change of a user. */
export async function addBatchJob({ db }: TestInstance, changes: Partial<BatchJob> = {}, tenant = 'ann') {
  const submission = { tenant, priority: 0, processAfter: null, retryPauseMs: 0, idempotency: null };
  return await enqueue(db, 'batches', newBatchJob({ ...batchJob, ...changes }), submission);
}

/** Stores and leases a job of a batch change, and keeps its lease. */
export async function leaseBatchJob(instance: TestInstance, changes: Partial<BatchJob> = {}): Promise<Job> {
  await addBatchJob(instance, changes);
  const job = await instance.lease({ queues: ['batches'] });
  if (job === null) throw new Error('the job was not leased');
  await extendLease(instance, job);
  return job;
}
