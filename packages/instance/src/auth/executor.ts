import { GloveboxError } from '@glovebox/base';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { unauthorized } from '../errors.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';

/** The id of the credential that a lease or a heartbeat was asked with. Statuses are upstream's (reference §1.2). */
export async function authenticateExecutor(db: Db, request: FastifyRequest): Promise<number> {
  const secret = secretIn(request, ['token-executor']);
  const { rows } = await sql<{ id: number | null; any: boolean }>`
    select (select id from executor_credentials where sha256 = ${secretHash(secret)} and revoked_at is null) as id,
      exists (select from executor_credentials where revoked_at is null) as any
  `.execute(db);
  const found = rows[0] as { id: number | null; any: boolean };
  if (!found.any) {
    throw new GloveboxError({
      status: 500,
      code: 'no_executor_credential',
      message: 'Executors are not configured on this instance',
    });
  }
  if (found.id === null) throw unauthorized('');
  return found.id;
}
