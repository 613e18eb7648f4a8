import { protocolVersion, type QueueName } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import type { JobLease } from './job.ts';
import type { Demand, NewJob, QueueKinds, Submission } from './kind.ts';
import type { Offer } from './offer.ts';
import { enqueue, expireLeases, type Leased, lease, recordHeartbeat } from './queue.ts';
import type { HeldJob } from './sql/heartbeats.ts';

import { databaseTime } from './sql/leases.ts';

/** The fields in which a test's job differs from the default one. */
export type JobChanges = Partial<Demand & Omit<NewJob, 'demand'> & Submission> & {
  readonly queue?: QueueName;
};

/** Helpers for the queue of a database: default jobs, and an executor `e1` that can run them. */
export function testQueue(db: () => Db) {
  const offer: Offer = {
    executor: 'e1',
    queues: ['runs'],
    tiers: ['vm-emulated'],
    arch: 'x64',
    labels: [],
    free: { cpus: 2, memoryMiB: 2048, scratchMiB: 4096 },
    protocol: protocolVersion,
    egress: ['none', 'allow', 'learn', 'public'],
  };
  return {
    offer,
    add: (changes: JobChanges = {}, bound?: number) => {
      const job: NewJob = {
        payload: changes.payload ?? {},
        repository: changes.repository ?? '',
        commit: changes.commit ?? '',
        demand: {
          accept: changes.accept ?? ['vm-emulated'],
          arch: changes.arch ?? null,
          labels: changes.labels ?? [],
          cpus: changes.cpus ?? 1,
          memoryMiB: changes.memoryMiB ?? 1024,
          scratchMiB: changes.scratchMiB ?? 1024,
          needsVersion: changes.needsVersion ?? 1,
          egress: changes.egress ?? 'none',
          usesBroker: changes.usesBroker ?? false,
        },
        deadlineMs: changes.deadlineMs ?? 3_600_000,
        input: changes.input ?? false,
        maxResets: changes.maxResets ?? 1,
        maxRetries: changes.maxRetries ?? 0,
      };
      return enqueue(
        db(),
        changes.queue ?? 'runs',
        job,
        {
          tenant: changes.tenant ?? 'acme',
          priority: changes.priority ?? 0,
          processAfter: changes.processAfter ?? null,
          retryPauseMs: changes.retryPauseMs ?? 5_000,
          idempotency: changes.idempotency ?? null,
        },
        bound,
      );
    },
    take: async (changes: Partial<Offer> = {}, leaseMs = 12_000) => {
      const answer = await lease(db(), { ...offer, ...changes }, leaseMs);
      return typeof answer === 'object' ? answer : null;
    },
    /** Sends a heartbeat and returns the leases that it renewed. */
    renew: async (executor: string, held: readonly HeldJob[], queues: QueueName[] = ['runs']) => {
      const credentialId = await testCredential(db());
      const report = {
        name: executor,
        credentialId,
        version: '',
        native: true,
        queues,
        tiers: null,
        offer: null,
        network: null,
        machine: null,
        beat: { trouble: null },
      };
      const result = await recordHeartbeat(db(), new Map(), { report, held });
      return result.renewed;
    },
    /** Moves every lease's end back, as if this long had passed since the last heartbeat. */
    elapse: (ms: number) =>
      sql`update jobs set lease_expires_at = lease_expires_at - make_interval(secs => ${ms / 1000})
          where state = 'processing'`.execute(db()),
  };
}

async function testCredential(db: Db): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into executor_credentials (name) values ('test')
    on conflict (name) where revoked_at is null do update set name = excluded.name returning id
  `.execute(db);
  return (rows[0] as { id: number }).id;
}

/** Returns the lease of a leased job. */
export const leaseOf = ({ job }: Leased): JobLease => ({
  jobId: job.id,
  attempt: job.attempt,
  executor: job.executor as string,
  queue: job.queue,
  repository: job.repository,
  commit: job.commit,
});

/** Ends leases that ran out at least `marginMs` ago, exact to the millisecond. */
export async function expire(db: Db, kinds: QueueKinds, marginMs: number): Promise<number> {
  return await expireLeases(db, kinds, new Date((await databaseTime(db)) + 1 - marginMs));
}
