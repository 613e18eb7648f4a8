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
