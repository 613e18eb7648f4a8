import type { CodeHostKind, CodeHostRecord, setCodeHostSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type * as z from 'zod';
import type { Db } from '../db/connect.ts';
import type { Vault } from '../secrets/vault.ts';
import { codeHostNotFound, codeHostUrlTaken, tooManyCodeHosts } from './errors.ts';

/** The most code hosts of an instance. */
const codeHostsMax = 100;

const record = sql`
  name, kind, url, forks, webhook_secret is not null as "hasWebhookSecret",
  case when limited_until > clock_timestamp() then iso(limited_until) end as "limitedUntil", set_by as "setBy", iso(set_at) as "setAt"
`;

/** What of a code host its secrets are sealed for. */
type Identity = Pick<CodeHostRecord, 'name' | 'kind' | 'url'>;

/** What secrets are sealed for: whoever can write to the table, but lacks the key, cannot have them sent elsewhere. */
const sealedFor = (what: 'token' | 'webhook', { name, kind, url }: Identity) => [
  ...['code host', what],
  ...[name, kind, url],
];

/** Returns the code hosts, by name, without their secrets. */
export async function listCodeHosts(db: Db): Promise<CodeHostRecord[]> {
  return (await sql<CodeHostRecord>`select ${record} from code_hosts order by name`.execute(db)).rows;
}

/**
 * Stores a code host in place of an earlier one of the name. `setBy`: the name of the user. Errors: `code_host_url_taken`,
 * `too_many_code_hosts`.
 */
export async function setCodeHost(
  db: Db,
  vault: Vault,
  name: string,
  { kind, url, token, webhookSecret, forks }: z.output<typeof setCodeHostSchema>,
  setBy: string,
): Promise<CodeHostRecord> {
  const identity = { name, kind, url };
  const sealedSecret =
    webhookSecret === undefined ? null : vault.seal(webhookSecret, sealedFor('webhook', identity));
  const { rows } = await sql<CodeHostRecord>`
    insert into code_hosts (name, kind, url, token, webhook_secret, forks, set_by)
    select ${name}, ${kind}, ${url}, ${vault.seal(token, sealedFor('token', identity))}, ${sealedSecret}, ${forks}, ${setBy}
    where (select count(*) from code_hosts where name <> ${name}) < ${codeHostsMax}
    on conflict (name) do update set kind = excluded.kind, url = excluded.url, token = excluded.token,
      webhook_secret = excluded.webhook_secret, forks = excluded.forks, limited_until = null, set_by = excluded.set_by, set_at = clock_timestamp()
    returning ${record}
  `
    .execute(db)
    .catch((error: unknown) => {
      throw (error as { constraint?: string }).constraint === 'code_hosts_url_key'
        ? codeHostUrlTaken(url)
        : error;
    });
  if (!rows[0]) throw tooManyCodeHosts(codeHostsMax);
  return rows[0];
}

/** Removes a code host: its repositories are plain git remotes from now on. Errors: `code_host_not_found`. */
export async function removeCodeHost(db: Db, name: string): Promise<void> {
  const { rows } = await sql`delete from code_hosts where name = ${name} returning 1`.execute(db);
  if (rows.length === 0) throw codeHostNotFound(name);
}

/** A code host as it is stored. */
export interface StoredCodeHost extends Identity {
  readonly kind: CodeHostKind;
  readonly token: Buffer;
  readonly webhookSecret: Buffer | null;
  readonly forks: boolean;
  /** Milliseconds since 1970; null: the host has not asked for a pause. */
  readonly limitedUntil: number | null;
}

/** Returns the code hosts with their sealed secrets. */
export async function readCodeHosts(db: Db): Promise<StoredCodeHost[]> {
  const { rows } = await sql<StoredCodeHost>`
    select name, kind, url, token, forks, webhook_secret as "webhookSecret",
      (extract(epoch from limited_until) * 1000)::bigint as "limitedUntil"
    from code_hosts
  `.execute(db);
  return rows;
}

/** Returns the token of a code host. Errors: `secret_of_other_key`, `secret_damaged`. */
export const tokenOf = (vault: Vault, host: StoredCodeHost): string =>
  vault.open(host.token, sealedFor('token', host), `the token for the code host ${host.name}`);

/** Returns the secret for deliveries of a code host that has one. Errors: `secret_of_other_key`, `secret_damaged`. */
export const webhookSecretOf = (vault: Vault, host: StoredCodeHost): string =>
  vault.open(
    ...[host.webhookSecret ?? Buffer.alloc(0), sealedFor('webhook', host)],
    `the secret of the webhooks of the code host ${host.name}`,
  );

/** Remembers, for all replicas, that a host has asked for no requests before `until`, milliseconds since 1970. */
export async function pauseCodeHost(db: Db, name: string, until: number): Promise<void> {
  await sql`
    update code_hosts set limited_until = greatest(limited_until, to_timestamp(${until / 1_000}::double precision)) where name = ${name}
  `.execute(db);
}
