import type { QueueName } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { Demand } from '../kind.ts';

/** Of `lines`: the one in which a tenant's jobs with this demand wait. */
export const lineOf = (tenant: string, queue: QueueName, demand: Demand) => sql`
  share_id = (select id from shares where tenant = ${tenant} and queue = ${queue})
  and accept = ${demand.accept}::text[] and arch is not distinct from ${demand.arch}::text
  and labels = ${demand.labels}::text[] and cpus = ${demand.cpus} and memory_mib = ${demand.memoryMiB}
  and scratch_mib = ${demand.scratchMiB} and needs_native = ${demand.needsNative}`;

/** Makes that line, or makes it busy, so that leases look at it; its number. */
export async function openLine(db: Db, tenant: string, queue: QueueName, demand: Demand): Promise<number> {
  await joinShare(db, tenant, queue);
  const { rows } = await sql<{ id: number }>`
    insert into lines (share_id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native)
    select id, ${demand.accept}::text[], ${demand.arch}::text, ${demand.labels}::text[], ${demand.cpus}::int,
      ${demand.memoryMiB}::int, ${demand.scratchMiB}::int, ${demand.needsNative}::boolean
    from shares where tenant = ${tenant} and queue = ${queue}
    on conflict (share_id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native)
      do update set busy = true
    returning id
  `.execute(db);
  return (rows[0] as { id: number }).id;
}

/**
 * Makes a share that has had nothing to do begin where the others are: it gets its part from now on, and no credit for the time
 * in which it asked for nothing.
 */
async function joinShare(db: Db, tenant: string, queue: QueueName): Promise<void> {
  await sql`
    insert into shares as mine (tenant, queue, pass)
    values (${tenant}, ${queue}, coalesce((
      select min(pass) from shares where exists (select from lines where share_id = shares.id and busy)
    ), 0))
    on conflict (tenant, queue) do update set pass = greatest(mine.pass, excluded.pass)
    where not exists (select from lines where share_id = mine.id and busy)
  `.execute(db);
}

/**
 * Takes lines in which nobody waits out of the way of leases, and puts back one that a job has entered while this happened. A
 * line that an enqueue is holding is left alone; an enqueue that finds it held here waits, and then opens it again.
 */
export async function tidyLines(db: Db): Promise<void> {
  const somebody = sql`exists (select from jobs where line_id = lines.id and state in ('queued', 'errored'))`;
  await db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ id: number }>`
      select id from lines where busy and not ${somebody} for update skip locked
    `.execute(tx);
    // Asked again under the lock: by now a job may have come.
    const ids = rows.map((row) => row.id);
    if (ids.length > 0)
      await sql`update lines set busy = false where id = any(${ids}::bigint[]) and not ${somebody}`.execute(
        tx,
      );
  });
  await sql`update lines set busy = true where not busy and ${somebody}`.execute(db);
}
