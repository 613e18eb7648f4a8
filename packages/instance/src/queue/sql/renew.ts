import type { QueueName } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { leaseIsRenewable } from './fence.ts';

export interface Renewed {
  readonly id: number;
  readonly queue: QueueName;
  readonly cancel_requested: boolean;
}

/** A job that an executor says it runs; without an attempt (upstream's), any attempt of this executor. */
export interface Held {
  readonly jobId: number;
  readonly attempt: number | null;
}

/**
 * Renews the leases that this executor still has. A lease that ran out stays so: its VM is dead by the executor's own clock.
 * The rows are locked in the order of their ids first, or two heartbeats of many jobs could wait for each other. `canceling`
 * says whether a job of these queues that is to be canceled was not named.
 */
export async function renewLeases(
  db: Db,
  executor: string,
  queues: readonly QueueName[],
  held: readonly Held[],
): Promise<{ renewed: Renewed[]; canceling: boolean }> {
  const { rows } = await sql<{ renewed: Renewed[] | null; canceling: boolean }>`
    with held as (
      select * from unnest(${held.map((h) => h.jobId)}::bigint[], ${held.map((h) => h.attempt)}::int[])
        as held (id, attempt)
    ), locked as (
      select jobs.id from jobs join held on jobs.id = held.id
      where jobs.executor = ${executor} and jobs.attempt = coalesce(held.attempt, jobs.attempt) and ${leaseIsRenewable}
      order by jobs.id
      for no key update of jobs
    ), renewed as (
      update jobs set lease_expires_at = clock_timestamp() + make_interval(secs => jobs.lease_ms / 1000.0)
      from locked where jobs.id = locked.id
      returning jobs.id, jobs.queue, jobs.cancel_requested
    )
    select (select jsonb_agg(to_jsonb(renewed)) from renewed) as renewed,
      exists (
        select from jobs where executor = ${executor} and state = 'processing' and cancel_requested
          and queue = any(${queues}::text[]) and not exists (select from held where held.id = jobs.id)
      ) as canceling
  `.execute(db);
  const { renewed, canceling } = rows[0] as { renewed: Renewed[] | null; canceling: boolean };
  return { renewed: renewed ?? [], canceling };
}
