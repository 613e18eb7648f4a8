import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import type { Vault } from './vault.ts';

/** Returns how many values in the database were encrypted with another key than that of the vault: their jobs will fail. */
export async function countOfOtherKey(db: Db, { head }: Vault): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count
    from (select password as sealed from registry_credentials union all select value from secrets
      union all select secret from broker_entries where secret is not null
      union all select password from repositories where password is not null
      union all select secret from webhooks union all select token from code_hosts
      union all select webhook_secret from code_hosts where webhook_secret is not null) as stored
    where substring(sealed from 1 for ${head.length}::int) <> ${head}
  `.execute(db);
  return rows[0]?.count ?? 0;
}
