import { queueNameSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';

/**
 * The hashes of the secrets that the instance's helper made at the first start. The secrets themselves are in files that only
 * their users can read.
 */
export interface FirstSecrets {
  readonly accessTokenSha256: Buffer;
  readonly executorCredentialSha256: Buffer;
}

/**
 * Registers the first secrets: an access token of the user `admin`, and an executor credential for all queues, each with the
 * name `first`. A secret that is registered already stays as it is, also if it was revoked. A new one replaces the earlier
 * `first`, whose file was lost.
 */
export async function acceptFirstSecrets(db: Db, secrets: FirstSecrets): Promise<void> {
  await transaction(db, async (tx) => {
    // Replicas that start at the same time register them one after the other.
    await sql`lock table users in exclusive mode`.execute(tx);
    await acceptToken(tx, secrets.accessTokenSha256);
    await acceptCredential(tx, secrets.executorCredentialSha256);
  });
}

async function acceptToken(tx: Db, sha256: Buffer): Promise<void> {
  const { rows } = await sql`select from access_tokens where sha256 = ${sha256}`.execute(tx);
  if (rows.length > 0) return;
  await sql`
    update access_tokens set revoked_at = clock_timestamp() from users
    where users.id = user_id and users.name = 'admin' and access_tokens.name = 'first' and revoked_at is null
  `.execute(tx);
  await sql`
    insert into access_tokens (user_id, name, scopes, sha256)
    select id, 'first', '{admin}', ${sha256} from users where name = 'admin'
  `.execute(tx);
}

async function acceptCredential(tx: Db, sha256: Buffer): Promise<void> {
  const { rows } = await sql`select from executor_secrets where sha256 = ${sha256}`.execute(tx);
  if (rows.length > 0) return;
  // The credential stays and gets a new secret, so that its executors keep their names.
  await sql`
    update executor_secrets set ends_at = clock_timestamp() from executor_credentials credential
    where credential.id = credential_id and credential.name = 'first' and revoked_at is null
  `.execute(tx);
  await sql`
    with first as (
      insert into executor_credentials as known (name, queues) values ('first', ${queueNameSchema.options})
      on conflict (name) where revoked_at is null do update set expires_at = null
      returning id
    )
    insert into executor_secrets (credential_id, sha256) select id, ${sha256} from first
  `.execute(tx);
}
