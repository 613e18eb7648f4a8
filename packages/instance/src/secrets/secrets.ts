import type { Job, SecretRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { secretNotFound, tooManySecrets } from '../errors.ts';
import type { Vault } from './vault.ts';

/** The tenant of the secrets that the batch changes of every namespace may have. No user has such a name. */
export const globalTenant = '*';

/** The most secrets of a tenant. */
const secretsMax = 200;

const record = sql`name, iso(created_at) as "createdAt"`;

/** What a value is sealed for: whoever can write to the table, but lacks the key, cannot give it to another tenant. */
const sealedFor = (tenant: string, name: string) => ['secret', tenant, name];

/** Returns the secrets of a tenant, by name, without their values. */
export async function listSecrets(db: Db, tenant: string): Promise<SecretRecord[]> {
  const { rows } = await sql<SecretRecord>`
    select ${record} from secrets where tenant = ${tenant} order by name
  `.execute(db);
  return rows;
}

/** Stores a secret of a tenant in place of an earlier one of this name. Errors: `too_many_secrets`. */
export async function setSecret(
  db: Db,
  vault: Vault,
  { tenant, name, value }: { readonly tenant: string; readonly name: string; readonly value: string },
): Promise<SecretRecord> {
  const { rows } = await sql<SecretRecord>`
    insert into secrets (tenant, name, value)
    select ${tenant}, ${name}, ${vault.seal(value, sealedFor(tenant, name))}
    where (select count(*) from secrets where tenant = ${tenant} and name <> ${name}) < ${secretsMax}
    on conflict (tenant, name) do update set value = excluded.value, created_at = clock_timestamp()
    returning ${record}
  `.execute(db);
  if (!rows[0]) throw tooManySecrets(secretsMax);
  return rows[0];
}

/** Removes a secret of a tenant: no job that is leased from now on gets it. Errors: `secret_not_found`. */
export async function removeSecret(db: Db, tenant: string, name: string): Promise<void> {
  const { rows } = await sql`
    delete from secrets where tenant = ${tenant} and name = ${name} returning name
  `.execute(db);
  if (rows.length === 0) throw secretNotFound([name]);
}

/** Checks that a tenant has all of these secrets. Errors: `secret_not_found`. */
export async function requireSecrets(db: Db, tenant: string, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const found = new Set((await readSecrets(db, tenant, names)).map(({ name }) => name));
  const missing = names.filter((name) => !found.has(name));
  if (missing.length > 0) throw secretNotFound(missing);
}

/** A secret as it is stored. */
interface StoredSecret {
  readonly name: string;
  readonly value: Buffer;
}

/** Reads secrets of a tenant. */
export async function readSecrets(db: Db, tenant: string, names: readonly string[]): Promise<StoredSecret[]> {
  if (names.length === 0) return [];
  const { rows } = await sql<StoredSecret>`
    select name, value from secrets where tenant = ${tenant} and name = any(${names})
  `.execute(db);
  return rows;
}

/**
 * Returns the values of secrets that a batch change of a namespace may have, by name: those of the namespace, and for other names those of
 * the whole instance. A name that has none is left out. Errors: `secret_of_other_key`, `secret_damaged`.
 */
export async function secretsOf(
  db: Db,
  vault: Vault,
  namespace: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  // The later ones take the place of the former ones.
  for (const tenant of [globalTenant, namespace])
    for (const { name, value } of await readSecrets(db, tenant, names))
      values.set(name, vault.open(value, sealedFor(tenant, name), `the secret ${name} of ${tenant}`));
  return values;
}

/** Which secrets a job gets. */
interface SecretsOfJob {
  readonly tenant: string;
  readonly names: readonly string[];
  readonly stored: readonly StoredSecret[];
  /** The key of a step that gets none. */
  readonly except: string;
}

/**
 * Gives the steps of a job the secrets that the job names, and has its executor take their values out of the log. Errors:
 * `secret_not_found` for one that was removed after the job was made, `secret_of_other_key`, `secret_damaged`.
 */
export function withSecrets(vault: Vault, job: Job, { tenant, names, stored, except }: SecretsOfJob): Job {
  if (names.length === 0) return job;
  const values = new Map(
    stored.map(({ name, value }) => [
      name,
      vault.open(value, sealedFor(tenant, name), `the secret ${name} of ${tenant}`),
    ]),
  );
  const missing = names.filter((name) => !values.has(name));
  if (missing.length > 0) throw secretNotFound(missing);
  const variables = [...values].map(([name, value]) => `${name}=${value}`);
  const redacted = [...values].map(([name, value]) => [value, `[secret ${name}]`]);
  return {
    ...job,
    dockerSteps: (job.dockerSteps ?? []).map((step) =>
      step.key === except ? step : { ...step, env: [...(step.env ?? []), ...variables] },
    ),
    redactedValues: { ...job.redactedValues, ...Object.fromEntries(redacted) },
  };
}
