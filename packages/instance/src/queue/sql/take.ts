import type { QueueName, Tier } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

/** What an executor that asks for work can run. */
export interface Offer {
  readonly executor: string;
  readonly queues: readonly QueueName[];
  readonly tiers: readonly Tier[];
  /** Null: it did not say, so nothing is too big for it. */
  readonly free: { readonly cpus: number; readonly memoryMiB: number; readonly scratchMiB: number } | null;
  readonly native: boolean;
}

/**
 * Leases the oldest job that fits the offer, if there is one. Two executors that ask at once get different jobs: a row that the
 * other one holds is skipped.
 */
export async function takeJob(
  tx: Db,
  offer: Offer,
  tokenHash: Buffer,
  leaseMs: number,
): Promise<JobRow | undefined> {
  const { cpus, memoryMiB, scratchMiB } = offer.free ?? {};
  const { rows } = await sql<JobRow>`
    update jobs set
      state = 'processing', attempt = attempt + 1, executor = ${offer.executor}, token_sha256 = ${tokenHash},
      lease_ms = ${leaseMs}, lease_expires_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1000}),
      started_at = clock_timestamp(), finished_at = null, process_after = null, reason = null, message = null
    where id = (
      select id from jobs
      where state in ('queued', 'errored')
        and queue = any(${offer.queues})
        and accept && ${offer.tiers}::text[]
        and (process_after is null or process_after <= clock_timestamp())
        and (${offer.native} or not needs_native)
        and cpus <= coalesce(${cpus ?? null}::int, cpus)
        and memory_mib <= coalesce(${memoryMiB ?? null}::int, memory_mib)
        and scratch_mib <= coalesce(${scratchMiB ?? null}::int, scratch_mib)
      order by queued_at, id
      limit 1
      for update skip locked
    )
    returning *
  `.execute(tx);
  return rows[0];
}
