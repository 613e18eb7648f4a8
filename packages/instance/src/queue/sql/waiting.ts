import type { Status } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** How many jobs of a tenant wait, in all queues; counted up to `bound`. */
export async function countQueued(db: Db, tenant: string, bound: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from (
      select from shares join lines on share_id = shares.id join jobs on line_id = lines.id
      where shares.tenant = ${tenant} and busy and state in ('queued', 'errored')
      limit ${bound}
    ) as waiting
  `.execute(db);
  return (rows[0] as { count: number }).count;
}

/** Returns how many jobs of all tenants wait, and how many run. */
export async function countJobs(db: Db): Promise<Status['jobs']> {
  const { rows } = await sql<Status['jobs']>`
    select count(*) filter (where state in ('queued', 'errored'))::int as queued,
      count(*) filter (where state = 'processing')::int as processing
    from jobs where state in ('queued', 'errored', 'processing')
  `.execute(db);
  return rows[0] ?? { queued: 0, processing: 0 };
}
