import { FumehoodError } from '@fumehood/base';
import type { QueueName } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { batched } from '../db/batch.ts';
import { forbidden, unauthorized } from '../errors.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';
import { noteUse, unnoted } from './used.ts';

export const credentialScheme = 'token-executor';

/** What a lease or a heartbeat was asked with. The names of executors belong to it, whichever of its secrets they send. */
export interface ExecutorCredential {
  readonly id: number;
  readonly name: string;
  readonly queues: readonly QueueName[];
}

interface Found extends ExecutorCredential {
  readonly secretId: number;
  readonly unnoted: boolean;
}

/** The credential that a lease or a heartbeat was asked with. Statuses are upstream's (reference §1.2). */
export async function authenticateExecutor(db: Db, request: FastifyRequest): Promise<ExecutorCredential> {
  const found = await findCredential(db, secretHash(secretIn(request, [credentialScheme])));
  if (!found) throw (await hasCredentials(db)) ? unauthorized('') : noCredentials();
  if (found.unnoted) await noteUse(db, 'executor_secrets', found.secretId);
  const { id, name, queues } = found;
  return { id, name, queues };
}

/** Every request of an executor asks this; those that come close together are one statement. */
const findCredential = batched<Buffer, Found | undefined>(250, async (db, hashes) => {
  const { rows } = await sql<Found & { sha256: Buffer }>`
    select credential.id, name, queues, secret.id as "secretId", sha256, ${unnoted} as unnoted
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

/** Refuses what a credential is not good for. Errors: `forbidden`. */
export function requireQueues({ name, queues }: ExecutorCredential, wanted: readonly QueueName[]): void {
  const others = [...new Set(wanted)].filter((queue) => !queues.includes(queue));
  if (others.length === 0) return;
  throw forbidden(
    `the credential ${name} is not good for ${others.join(', ')}, but for ${queues.join(', ') || 'no queue'}: ` +
      'give this executor other queues, or a credential that is good for them',
  );
}
