import { tokenScheme } from '@glovebox/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { accessTokenNeeded } from '../errors.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';

/** Refuses a request of people and programs without a good access token. */
export async function requireToken(db: Db, request: FastifyRequest): Promise<void> {
  const token = secretIn(request, [tokenScheme]);
  const { rows } = await sql`
    select from access_tokens where sha256 = ${secretHash(token)} and revoked_at is null
  `.execute(db);
  if (rows.length === 0) throw accessTokenNeeded();
}
