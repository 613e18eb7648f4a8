import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** Of a row: its last use is to be noted. To the minute, so that not every request is a write. */
export const unnoted = sql<boolean>`
  (last_used_at is null or last_used_at < statement_timestamp() - interval '1 minute')`;

/** Notes that a secret was used now, unless another request has. */
export async function noteUse(
  db: Db,
  table: 'access_tokens' | 'executor_secrets',
  id: number,
): Promise<void> {
  await sql`
    update ${sql.table(table)} set last_used_at = statement_timestamp() where id = ${id} and ${unnoted}
  `.execute(db);
}
