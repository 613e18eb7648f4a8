import type { QueueName } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { Demand } from '../kind.ts';
import { joinShare } from './shares.ts';

/**
 * Returns what tells the line of a demand from those that differ in `needsVersion`, `egress` and `usesBroker` alone. It begins with a character that no
 * label has. Empty for what version N-1 assumed, whose lines stay in use.
 */
function variantOf({ needsVersion, egress, usesBroker }: Demand): string {
  const needs = [
    ...(needsVersion > 1 ? [`v${needsVersion}`] : []),
    ...(egress === (needsVersion > 0 ? 'none' : 'public') ? [] : [egress]),
    ...(usesBroker ? ['broker'] : []),
  ];
  return needs.length > 0 ? `:${needs.join(',')}` : '';
}

/** Returns the labels of a demand's line. */
function labelsOf(demand: Demand): string[] {
  const variant = variantOf(demand);
  return [...demand.labels, ...(variant === '' ? [] : [variant])];
}

/** True of the row of `lines` in which a tenant's jobs with this demand wait. */
export const isLineOf = (tenant: string, queue: QueueName, demand: Demand) => sql`
  share_id = (select id from shares where tenant = ${tenant} and queue = ${queue})
  and accept = ${demand.accept}::text[] and arch is not distinct from ${demand.arch}::text
  and labels = ${labelsOf(demand)}::text[] and cpus = ${demand.cpus} and memory_mib = ${demand.memoryMiB}
  and scratch_mib = ${demand.scratchMiB} and needs_native = ${demand.needsVersion > 0}`;

/** Makes the line of these jobs, or marks it busy, so that leases look at it. Returns its id. */
export async function openLine(db: Db, tenant: string, queue: QueueName, demand: Demand): Promise<number> {
  await joinShare(db, tenant, queue);
  const { rows } = await sql<{ id: number }>`
    insert into lines (share_id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native,
                       needs_version, egress, uses_broker, variant)
    select id, ${demand.accept}::text[], ${demand.arch}::text, ${labelsOf(demand)}::text[], ${demand.cpus}::int,
      ${demand.memoryMiB}::int, ${demand.scratchMiB}::int, ${demand.needsVersion > 0}::boolean,
      ${demand.needsVersion}::int, ${demand.egress}::egress_mode, ${demand.usesBroker}::boolean, ${variantOf(demand)}
    from shares where tenant = ${tenant} and queue = ${queue}
    on conflict (share_id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native)
      do update set busy = true
    returning id
  `.execute(db);
  return (rows[0] as { id: number }).id;
}

/**
 * Marks lines without waiting jobs as not busy, so that leases do not look at them, and reopens a line that a job has entered
 * meanwhile. A line whose row an enqueue holds is left alone. An enqueue that finds the row held here waits, and then opens the
 * line again.
 */
export async function closeEmptyLines(db: Db): Promise<void> {
  const hasWaiting = sql`exists (select from jobs where line_id = lines.id and state in ('queued', 'errored'))`;
  await db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ id: number }>`
      select id from lines where busy and not ${hasWaiting} for update skip locked
    `.execute(tx);
    // A job may have come before the row was locked: ask again under the lock.
    const ids = rows.map((row) => row.id);
    if (ids.length > 0)
      await sql`update lines set busy = false where id = any(${ids}::bigint[]) and not ${hasWaiting}`.execute(
        tx,
      );
  });
  await sql`update lines set busy = true where not busy and ${hasWaiting}`.execute(db);
}
