import type { CredentialRecord, MadeCredential, createCredentialSchema } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { accessNotFound, nameTaken } from '../errors.ts';
import { newSecret, secretHash } from './secret.ts';

/** Credentials that are not revoked, with the secrets that are good. */
export async function listCredentials(db: Db): Promise<CredentialRecord[]> {
  return await read(db, sql`true`);
}

async function read(db: Db, which: RawBuilder<unknown>): Promise<CredentialRecord[]> {
  const { rows } = await sql<CredentialRecord>`
    select id, name, queues, iso(created_at) as "createdAt", iso(expires_at) as "expiresAt",
      (
        select coalesce(jsonb_agg(jsonb_build_object(
          'createdAt', iso(created_at), 'endsAt', iso(ends_at), 'lastUsedAt', iso(last_used_at)) order by id desc), '[]')
        from executor_secrets
        where credential_id = credential.id and (ends_at is null or ends_at > statement_timestamp())
      ) as secrets
    from executor_credentials credential where revoked_at is null and ${which} order by name
  `.execute(db);
  return rows;
}

/** Errors: `name_taken`. */
export async function createCredential(
  db: Db,
  { name, queues, expiresAt }: z.output<typeof createCredentialSchema>,
): Promise<MadeCredential> {
  return await transaction(db, async (tx) => {
    const { rows } = await sql<{ id: number }>`
      insert into executor_credentials (name, queues, expires_at) values (${name}, ${queues}, ${expiresAt})
      on conflict (name) where revoked_at is null do nothing returning id
    `.execute(tx);
    if (!rows[0]) throw nameTaken('a credential', name);
    return await withSecret(tx, rows[0].id);
  });
}

/** Gives a credential another secret; those from before are good for `overlapMs` more at most. Errors: `access_not_found`. */
export async function rotateCredential(db: Db, id: number, overlapMs: number): Promise<MadeCredential> {
  return await transaction(db, async (tx) => {
    await lock(tx, id);
    await endSecrets(tx, id, overlapMs, sql`true`);
    return await withSecret(tx, id);
  });
}

async function withSecret(tx: Db, id: number): Promise<MadeCredential> {
  const secret = newSecret();
  await sql`
    insert into executor_secrets (credential_id, sha256) values (${id}, ${secretHash(secret)})
  `.execute(tx);
  const [record] = await read(tx, sql`id = ${id}`);
  return { ...(record as CredentialRecord), secret };
}

/** Ends a credential at once, and with it the job tokens of its executors. Errors: `access_not_found`. */
export async function revokeCredential(db: Db, id: number): Promise<void> {
  await transaction(db, async (tx) => {
    await lock(tx, id);
    await sql`update executor_credentials set revoked_at = clock_timestamp() where id = ${id}`.execute(tx);
  });
}

/** Ends at once the secrets that a rotation replaced. Errors: `access_not_found`. */
export async function endRotation(db: Db, id: number): Promise<void> {
  await transaction(db, async (tx) => {
    await lock(tx, id);
    await endSecrets(tx, id, 0, sql`ends_at is not null`);
  });
}

/** Holds the row of one that is not revoked until the transaction ends. */
async function lock(tx: Db, id: number): Promise<void> {
  const { rows } = await sql`
    select from executor_credentials where id = ${id} and revoked_at is null for update
  `.execute(tx);
  if (rows.length === 0) throw accessNotFound('executor credential', id);
}

async function endSecrets(tx: Db, id: number, afterMs: number, which: RawBuilder<unknown>): Promise<void> {
  await sql`
    update executor_secrets
    set ends_at = least(ends_at, clock_timestamp() + make_interval(secs => ${afterMs / 1000}))
    where credential_id = ${id} and ${which}
  `.execute(tx);
}
