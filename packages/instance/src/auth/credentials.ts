import type { CredentialRecord, MadeCredential, createCredentialSchema } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { accessNotFound, nameTaken } from '../errors.ts';
import { newSecret, secretHash } from './secret.ts';

/** Returns the executor credentials that are not revoked, by name, each with its valid secrets. */
export async function listCredentials(db: Db): Promise<CredentialRecord[]> {
  return await readCredentials(db, sql`true`);
}

async function readCredentials(db: Db, which: RawBuilder<unknown>): Promise<CredentialRecord[]> {
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

/** Makes an executor credential with its first secret. Errors: `name_taken`. */
export async function createCredential(
  db: Db,
  { name, queues, expiresAt }: z.output<typeof createCredentialSchema>,
): Promise<MadeCredential> {
  return await transaction(db, (tx) => insertCredential(tx, { name, queues, expiresAt }));
}

/** `createCredential` as a part of a transaction. */
export async function insertCredential(
  tx: Db,
  { name, queues, expiresAt }: z.output<typeof createCredentialSchema>,
): Promise<MadeCredential> {
  const { rows } = await sql<{ id: number }>`
    insert into executor_credentials (name, queues, expires_at) values (${name}, ${queues}, ${expiresAt})
    on conflict (name) where revoked_at is null do nothing returning id
  `.execute(tx);
  if (!rows[0]) throw nameTaken('a credential', name);
  return await addSecret(tx, rows[0].id);
}

/** Gives a credential a new secret. The earlier ones stay valid for at most `overlapMs`. Errors: `access_not_found`. */
export async function rotateCredential(db: Db, id: number, overlapMs: number): Promise<MadeCredential> {
  return await transaction(db, async (tx) => {
    await lockCredential(tx, id);
    await endSecrets(tx, id, overlapMs, sql`true`);
    return await addSecret(tx, id);
  });
}

/** Adds a secret, and returns the credential with it. This is the only time that the secret is shown. */
async function addSecret(tx: Db, id: number): Promise<MadeCredential> {
  const secret = newSecret();
  await sql`
    insert into executor_secrets (credential_id, sha256) values (${id}, ${secretHash(secret)})
  `.execute(tx);
  const [record] = await readCredentials(tx, sql`id = ${id}`);
  return { ...(record as CredentialRecord), secret };
}

/** Revokes a credential, and with it the job tokens of its executors, at once. Errors: `access_not_found`. */
export async function revokeCredential(db: Db, id: number): Promise<void> {
  await transaction(db, async (tx) => {
    await lockCredential(tx, id);
    await sql`update executor_credentials set revoked_at = clock_timestamp() where id = ${id}`.execute(tx);
  });
}

/** Ends the overlap of a rotation: the replaced secrets become invalid at once. Errors: `access_not_found`. */
export async function endRotation(db: Db, id: number): Promise<void> {
  await transaction(db, async (tx) => {
    await lockCredential(tx, id);
    await endSecrets(tx, id, 0, sql`ends_at is not null`);
  });
}

/** Locks the row of a credential that is not revoked until the transaction ends. Errors: `access_not_found`. */
async function lockCredential(tx: Db, id: number): Promise<void> {
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
