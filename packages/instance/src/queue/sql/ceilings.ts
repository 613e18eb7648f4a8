import type { CeilingOf, CeilingRecord, NetworkCeiling, SetCeiling } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { ceilingNotFound, tooManyCeilings } from '../../errors.ts';

/** The most ceilings of an instance. */
const ceilingsMax = 1_000;

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

const record = sql`queue, tenant, policy, iso(created_at) as "createdAt"`;
const isFor = ({ queue, tenant }: CeilingOf) =>
  sql`queue is not distinct from ${queue ?? null}::text and tenant is not distinct from ${tenant ?? null}::text`;

/** Returns the ceilings of all jobs, by queue and tenant. */
export async function listCeilings(db: Db): Promise<CeilingRecord[]> {
  const { rows } = await sql<CeilingRecord>`
    select ${record} from network_ceilings order by queue, tenant
  `.execute(db);
  return rows;
}

/** Stores a ceiling in place of an earlier one for the same jobs. It holds from the next lease on. Errors: `too_many_ceilings`. */
export async function setCeiling(db: Db, { policy, ...of }: SetCeiling): Promise<CeilingRecord> {
  const { rows } = await sql<CeilingRecord>`
    insert into network_ceilings (queue, tenant, policy)
    select ${of.queue ?? null}::text, ${of.tenant ?? null}::text, ${JSON.stringify(policy)}::jsonb
    where (select count(*) from network_ceilings where not (${isFor(of)})) < ${ceilingsMax}
    on conflict (queue, tenant) do update set policy = excluded.policy, created_at = clock_timestamp()
    returning ${record}
  `.execute(db);
  if (!rows[0]) throw tooManyCeilings(ceilingsMax);
  return rows[0];
}

/** Removes a ceiling: it holds for no job that is leased from now on. Errors: `ceiling_not_found`. */
export async function removeCeiling(db: Db, of: CeilingOf): Promise<void> {
  const { rows } = await sql`delete from network_ceilings where ${isFor(of)} returning policy`.execute(db);
  if (rows.length === 0) throw ceilingNotFound(of.queue ?? null, of.tenant ?? null);
}
