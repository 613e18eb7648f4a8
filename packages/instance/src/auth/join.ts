import type { JoinedExecutor, JoinToken, createJoinTokenSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { joinTokenInvalid, nameTaken } from '../errors.ts';
import { insertCredential } from './credentials.ts';
import { newSecret, secretHash } from './secret.ts';

export const joinScheme = 'token-join';

/** How long a join token is valid. */
const validFor = sql`interval '1 hour'`;

/**
 * Makes a token by which one executor can join, once, within an hour. It replaces an earlier one of the same name. Errors: `name_taken`
 * when an executor of this name has joined already.
 */
export async function createJoinToken(
  db: Db,
  { name, queues, labels }: z.output<typeof createJoinTokenSchema>,
): Promise<Omit<JoinToken, 'instanceUrl'>> {
  const token = newSecret();
  return await transaction(db, async (tx) => {
    const taken = await sql`
      select from executor_credentials where name = ${name} and revoked_at is null
    `.execute(tx);
    if (taken.rows.length > 0) throw nameTaken('a credential of an executor', name);
    await sql`delete from join_tokens where name = ${name} or expires_at < clock_timestamp()`.execute(tx);
    const { rows } = await sql<{ expiresAt: string }>`
      insert into join_tokens (sha256, name, queues, labels, expires_at)
      values (${secretHash(token)}, ${name}, ${queues}, ${labels}, clock_timestamp() + ${validFor})
      returning iso(expires_at) as "expiresAt"
    `.execute(tx);
    return { name, queues, labels, token, expiresAt: (rows[0] as { expiresAt: string }).expiresAt };
  });
}

/** Exchanges a join token for a credential of its own. Errors: `join_token_invalid`, `name_taken`. */
export async function joinExecutor(db: Db, token: string): Promise<JoinedExecutor> {
  return await transaction(db, async (tx) => {
    const { rows } = await sql<Pick<JoinedExecutor, 'name' | 'queues' | 'labels'>>`
      delete from join_tokens where sha256 = ${secretHash(token)} and expires_at > clock_timestamp()
      returning name, queues, labels
    `.execute(tx);
    if (!rows[0]) throw joinTokenInvalid();
    const { name, queues, labels } = rows[0];
    const { secret } = await insertCredential(tx, { name, queues, expiresAt: null });
    return { name, queues, labels, credential: secret };
  });
}
