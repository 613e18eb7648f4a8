import {
  authKeyOf,
  type Job,
  type QueueName,
  type RegistryCredential,
  registryOf,
  type setRegistryCredentialSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { registryNotFound, tooManyRegistries } from '../errors.ts';
import type { Vault } from './vault.ts';

/** The most credentials for registries of an instance. */
const registriesMax = 1_000;

const record = sql`host, username, queues, iso(created_at) as "createdAt"`;

/** What a password is sealed for: whoever can write to the table, but lacks the key, cannot give it to another registry or queue. */
const sealedFor = ({ host, username, queues }: Pick<RegistryCredential, 'host' | 'username' | 'queues'>) => [
  'registry',
  host,
  username,
  queues,
];

/** Returns the credentials for registries, by host, without their passwords. */
export async function listRegistries(db: Db): Promise<RegistryCredential[]> {
  return (await sql<RegistryCredential>`select ${record} from registry_credentials order by host`.execute(db))
    .rows;
}

/** Stores the credential for a registry in place of an earlier one. Errors: `too_many_registries`. */
export async function setRegistry(
  db: Db,
  vault: Vault,
  host: string,
  { username, password, queues }: z.output<typeof setRegistryCredentialSchema>,
): Promise<RegistryCredential> {
  const sealed = vault.seal(password, sealedFor({ host, username, queues }));
  const { rows } = await sql<RegistryCredential>`
    insert into registry_credentials (host, username, queues, password)
    select ${host}, ${username}, ${queues}::text[], ${sealed}
    where (select count(*) from registry_credentials where host <> ${host}) < ${registriesMax}
    on conflict (host) do update
      set username = excluded.username, queues = excluded.queues, password = excluded.password, created_at = clock_timestamp()
    returning ${record}
  `.execute(db);
  if (!rows[0]) throw tooManyRegistries(registriesMax);
  return rows[0];
}

/** Removes the credential for a registry: no job that is leased from now on gets it. Errors: `registry_not_found`. */
export async function removeRegistry(db: Db, host: string): Promise<void> {
  const { rows } = await sql`delete from registry_credentials where host = ${host} returning host`.execute(
    db,
  );
  if (rows.length === 0) throw registryNotFound(host);
}

/** The credential for a registry as it is stored. */
interface StoredRegistry extends Pick<RegistryCredential, 'host' | 'username' | 'queues'> {
  readonly password: Buffer;
}

/** Reads the credentials that jobs of this queue get for the registries of these images. */
export async function readRegistries(
  db: Db,
  queue: QueueName,
  images: readonly string[],
): Promise<StoredRegistry[]> {
  const hosts = [...new Set(images.filter((image) => !image.startsWith('blob:')).map(registryOf))];
  if (hosts.length === 0) return [];
  const { rows } = await sql<StoredRegistry>`
    select host, username, queues, password from registry_credentials
    where host = any(${hosts}) and (queues is null or ${queue} = any(queues))
  `.execute(db);
  return rows;
}

/**
 * Decrypts credentials for registries, in the form of Docker's `config.json`. Errors: `secret_of_other_key`, `secret_damaged`.
 */
export function registryAuth(vault: Vault, stored: readonly StoredRegistry[]): Job['dockerAuthConfig'] {
  if (stored.length === 0) return undefined;
  const auths = stored.map((row) => {
    const password = vault.open(row.password, sealedFor(row), `the password for ${row.host}`);
    return [
      authKeyOf(row.host),
      { auth: Buffer.from(`${row.username}:${password}`).toString('base64') },
    ] as const;
  });
  return { auths: Object.fromEntries(auths) };
}
