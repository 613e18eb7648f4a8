import type { NetworkCeiling } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** The part `from … where …` of a statement that selects the ceilings for the jobs of a row with a queue and a tenant. */
export const ceilingsOf = (row: 'jobs' | 'shares'): RawBuilder<unknown> => sql`
  from network_ceilings as one
  where (one.queue is null or one.queue = ${sql.raw(row)}.queue) and (one.tenant is null or one.tenant = ${sql.raw(row)}.tenant)`;

/** The ceilings for the jobs of such a row, as a JSON list of `NetworkCeiling`. */
export const ceilingList = (row: 'jobs' | 'shares'): RawBuilder<unknown> => sql`(
  select coalesce(
    jsonb_agg(jsonb_build_object('queue', queue, 'tenant', tenant, 'policy', policy) order by queue, tenant), '[]'
  ) ${ceilingsOf(row)}
)`;

/** Returns the ceilings that are in force for a job. */
export async function ceilingsOfJob(db: Db, jobId: number): Promise<NetworkCeiling[]> {
  const { rows } = await sql<{ ceilings: NetworkCeiling[] }>`
    select ${ceilingList('jobs')} as ceilings from jobs where id = ${jobId}
  `.execute(db);
  return rows[0]?.ceilings ?? [];
}
