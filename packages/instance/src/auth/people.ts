import { type Scope, tokenScheme } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { accessTokenNeeded, scopeMissing } from '../errors.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';
import { recordUse, useIsStale } from './last-use.ts';

/** The user of a request, identified by an access token. */
export interface Person {
  readonly userId: number;
  /** Also the tenant of the user's jobs. */
  readonly name: string;
  /** The user is an admin, and the token has the scope `admin`. */
  readonly admin: boolean;
  /** The scopes of the token. */
  readonly scopes: readonly Scope[];
  readonly token: { readonly name: string; readonly expiresAt: Date | null };
}

/** A user, with the token by which it was found. `useIsStale`: its use has to be recorded. */
interface Found extends Omit<Person, 'token'> {
  readonly tokenId: number;
  readonly tokenName: string;
  readonly expiresAt: Date | null;
  readonly useIsStale: boolean;
}

/** Returns the user whose access token the request carries. Errors: `unauthorized`. */
export async function authenticate(db: Db, request: FastifyRequest): Promise<Person> {
  const secret = secretIn(request, [tokenScheme]);
  const { rows } = await sql<Found>`
    select users.id as "userId", users.name, admin and 'admin' = any(scopes) as admin, scopes,
      token.id as "tokenId", token.name as "tokenName", expires_at as "expiresAt", ${useIsStale} as "useIsStale"
    from access_tokens token join users on users.id = user_id
    where sha256 = ${secretHash(secret)} and revoked_at is null
      and (expires_at is null or expires_at > statement_timestamp())
  `.execute(db);
  const [found] = rows;
  if (!found) throw accessTokenNeeded();
  if (found.useIsStale) await recordUse(db, 'access_tokens', found.tokenId);
  const { userId, name, admin, scopes, tokenName, expiresAt } = found;
  return { userId, name, admin, scopes, token: { name: tokenName, expiresAt } };
}

/** Checks that a person's token has a scope; an admin has all of them. Errors: `scope_missing`. */
export function requireScope(person: Person, scope: Scope): void {
  if (person.admin || (scope !== 'admin' && person.scopes.includes(scope))) return;
  throw scopeMissing(person, scope);
}
