import { FumehoodError } from '@fumehood/base';
import type { QueueName } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { batched } from '../db/batch.ts';
import { forbidden, unauthorized } from '../errors.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';
import { recordUse, useIsStale } from './last-use.ts';

export const credentialScheme = 'token-executor';

/** The credential of an executor. Executor names belong to a credential, whichever of its secrets they send. */
export interface ExecutorCredential {
  readonly id: number;
  readonly name: string;
  readonly queues: readonly QueueName[];
}

/** A credential, with the secret by which it was found. `useIsStale`: its use has to be recorded. */
interface Found extends ExecutorCredential {
  readonly secretId: number;
  readonly useIsStale: boolean;
}

/**
 * Returns the executor credential of a request (lease, heartbeat, push stream). Errors: `unauthorized`, and
 * `no_executor_credential` if the instance has none; the statuses are upstream's.
 */
export async function authenticateExecutor(db: Db, request: FastifyRequest): Promise<ExecutorCredential> {
  const found = await findCredential(db, secretHash(secretIn(request, [credentialScheme])));
  if (!found) throw (await hasCredentials(db)) ? unauthorized('') : noCredentials();
  if (found.useIsStale) await recordUse(db, 'executor_secrets', found.secretId);
  const { id, name, queues } = found;
  return { id, name, queues };
}

/** Every request of an executor needs this lookup. Those that come close together are one statement. */
const findCredential = batched<Buffer, Found | undefined>(250, async (db, hashes) => {
  const { rows } = await sql<Found & { sha256: Buffer }>`
    select credential.id, name, queues, secret.id as "secretId", sha256, ${useIsStale} as "useIsStale"
    from executor_secrets secret join executor_credentials credential on credential.id = credential_id
    where sha256 = any(${[...hashes]}::bytea[]) and (ends_at is null or ends_at > statement_timestamp())
      and credential_is_good(credential)
  `.execute(db);
  return hashes.map((hash) => rows.find(({ sha256 }) => sha256.equals(hash)));
});

async function hasCredentials(db: Db): Promise<boolean> {
  const { rows } = await sql`select from executor_credentials where revoked_at is null limit 1`.execute(db);
  return rows.length > 0;
}

const noCredentials = () =>
  new FumehoodError({
    status: 500,
    code: 'no_executor_credential',
    message: 'Executors are not configured on this instance',
  });

/** Checks that a credential may be used for all of these queues. Errors: `forbidden`. */
export function requireQueues({ name, queues }: ExecutorCredential, requested: readonly QueueName[]): void {
  const denied = [...new Set(requested)].filter((queue) => !queues.includes(queue));
  if (denied.length === 0) return;
  throw forbidden(
    `the credential ${name} is not valid for ${denied.join(', ')} (it is valid for ${queues.join(', ') || 'no queue'}): ` +
      'configure other queues for this executor, or use a credential that is valid for them',
  );
}
