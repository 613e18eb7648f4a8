import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** Hashes of the secrets that the keeper made at the first start; the secrets themselves are in files of their readers. */
export interface FirstSecrets {
  readonly accessTokenSha256: Buffer;
  readonly executorCredentialSha256: Buffer;
}

const tables = {
  access_tokens: 'accessTokenSha256',
  executor_credentials: 'executorCredentialSha256',
} as const;

/** Makes the first secrets good; whatever was the first before (its file was lost) is so no longer. */
export async function acceptFirstSecrets(db: Db, secrets: FirstSecrets): Promise<void> {
  await db.transaction().execute(async (tx) => {
    for (const [name, key] of Object.entries(tables)) {
      const table = sql.table(name);
      await sql`
        update ${table} set revoked_at = clock_timestamp()
        where name = 'first' and sha256 <> ${secrets[key]} and revoked_at is null
      `.execute(tx);
      await sql`
        insert into ${table} (name, sha256) values ('first', ${secrets[key]}) on conflict (sha256) do nothing
      `.execute(tx);
    }
  });
}
