import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** True of a row whose last use was recorded more than a minute ago, or never. Not every request shall be a write. */
export const useIsStale = sql<boolean>`
  (last_used_at is null or last_used_at < statement_timestamp() - interval '1 minute')`;

/** Records that a secret was used now, unless another request has done so within a minute. */
export async function recordUse(
  db: Db,
  table: 'access_tokens' | 'executor_secrets',
  id: number,
): Promise<void> {
  await sql`
    update ${sql.table(table)} set last_used_at = statement_timestamp() where id = ${id} and ${useIsStale}
  `.execute(db);
}
