import type { createTokenSchema, MadeToken, TokenRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { accessNotFound, nameTaken, notAdmin, outlasts, tooManyTokens, userNotFound } from '../errors.ts';
import { type Person, requireScope } from './people.ts';
import { newSecret, secretHash } from './secret.ts';

/** The most tokens of one user that are not revoked. */
const tokensMax = 100;

const record = sql`
  token.id, token.name, users.name as user, scopes, iso(token.created_at) as "createdAt",
  iso(expires_at) as "expiresAt", iso(last_used_at) as "lastUsedAt"`;

/** True of a token that this person may see and revoke. */
const isVisibleTo = ({ admin, userId }: Person) => sql`(${admin}::boolean or user_id = ${userId})`;

/** Returns the tokens that are not revoked: the person's own or, for an admin, all of them. */
export async function listTokens(db: Db, person: Person): Promise<TokenRecord[]> {
  const { rows } = await sql<TokenRecord>`
    select ${record} from access_tokens token join users on users.id = user_id
    where revoked_at is null and ${isVisibleTo(person)} order by users.name, token.name
  `.execute(db);
  return rows;
}

/**
 * Makes an access token of this person or, for an admin, of another user. It gets no scope that the person's own token lacks,
 * and does not outlast it. Errors: `scope_missing`, `invalid_request`, `user_not_found`, `name_taken`, `too_many_tokens`.
 */
export async function createToken(
  db: Db,
  person: Person,
  { name, user = person.name, scopes, expiresAt }: z.output<typeof createTokenSchema>,
): Promise<MadeToken> {
  if (user !== person.name) requireScope(person, 'admin');
  for (const scope of scopes) requireScope(person, scope);
  const { expiresAt: ownEnd } = person.token;
  if (ownEnd && (expiresAt === null || new Date(expiresAt) > ownEnd)) throw outlasts(ownEnd);
  const secret = newSecret();
  return await transaction(db, async (tx) => {
    const owner = await lockUser(tx, user);
    if (scopes.includes('admin') && !owner.admin) throw notAdmin(user);
    if (owner.tokens >= tokensMax) throw tooManyTokens(user, tokensMax);
    const { rows } = await sql<TokenRecord>`
      with token as (
        insert into access_tokens (user_id, name, scopes, sha256, expires_at)
        values (${owner.id}, ${name}, ${scopes}, ${secretHash(secret)}, ${expiresAt})
        on conflict (user_id, name) where revoked_at is null do nothing
        returning *
      )
      select ${record} from token join users on users.id = user_id
    `.execute(tx);
    if (!rows[0]) throw nameTaken(`an access token of ${user}`, name);
    return { ...rows[0], secret };
  });
}

/** Locks the user's row until the transaction ends, and counts the user's tokens. Errors: `user_not_found`. */
async function lockUser(tx: Db, name: string): Promise<{ id: number; admin: boolean; tokens: number }> {
  const { rows } = await sql<{ id: number; admin: boolean }>`
    select id, admin from users where name = ${name} for no key update
  `.execute(tx);
  const [user] = rows;
  if (!user) throw userNotFound(name);
  const counted = await sql<{ tokens: number }>`
    select count(*)::int as tokens from access_tokens where user_id = ${user.id} and revoked_at is null
  `.execute(tx);
  return { ...user, tokens: counted.rows[0]?.tokens ?? 0 };
}

/** Revokes a token at once. Errors: `access_not_found`, also for a token that this person may not see. */
export async function revokeToken(db: Db, person: Person, id: number): Promise<void> {
  const { rows } = await sql`
    update access_tokens set revoked_at = clock_timestamp()
    where id = ${id} and revoked_at is null and ${isVisibleTo(person)} returning id
  `.execute(db);
  if (rows.length === 0) throw accessNotFound('access token', id);
}
