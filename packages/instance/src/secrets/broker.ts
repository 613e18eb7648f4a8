import {
  type BrokerGrant,
  type BrokerRecord,
  brokerGrantSchema,
  type Job,
  jobBrokerMax,
  type QueueName,
  type setBrokerSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { brokerNotFound, tooManyBrokerEntries } from '../errors.ts';
import type { Vault } from './vault.ts';

/** The most entries of an instance. */
const entriesMax = 1_000;

const facts = sql`name, kind, url, hosts, methods, response_max_mib as "responseMaxMiB", header, username, queues, repositories`;
const record = sql`${facts}, iso(created_at) as "createdAt"`;

type Facts = Omit<BrokerRecord, 'createdAt'>;

/** What a secret is sealed for: whoever can write to the table, but lacks the key, cannot have it sent to another server, or for other jobs. */
function sealedFor(entry: Facts): readonly unknown[] {
  const { name, kind, url, hosts, methods, header, username, queues, repositories } = entry;
  return ['broker', name, kind, url, hosts, methods, header, username, queues, repositories];
}

/** Returns the entries of the broker, by name, without their secrets. */
export async function listBroker(db: Db): Promise<BrokerRecord[]> {
  return (await sql<BrokerRecord>`select ${record} from broker_entries order by name`.execute(db)).rows;
}

/** Stores an entry in place of an earlier one of this name. Errors: `too_many_broker_entries`. */
export async function setBroker(
  db: Db,
  vault: Vault,
  name: string,
  { secret, ...settings }: z.output<typeof setBrokerSchema>,
): Promise<BrokerRecord> {
  const entry = { name, ...settings };
  const { kind, url, hosts, methods, responseMaxMiB, header, username, queues, repositories } = entry;
  const sealed = secret === null ? null : vault.seal(secret, sealedFor(entry));
  const { rows } = await sql<BrokerRecord>`
    insert into broker_entries
      (name, kind, url, hosts, methods, response_max_mib, header, username, queues, repositories, secret)
    select ${name}, ${kind}, ${url}, ${hosts}::text[], ${methods}::text[], ${responseMaxMiB}, ${header}, ${username},
      ${queues}::text[], ${repositories}::text[], ${sealed}
    where (select count(*) from broker_entries where name <> ${name}) < ${entriesMax}
    on conflict (name) do update set
      kind = excluded.kind, url = excluded.url, hosts = excluded.hosts, methods = excluded.methods,
      response_max_mib = excluded.response_max_mib, header = excluded.header, username = excluded.username,
      queues = excluded.queues, repositories = excluded.repositories, secret = excluded.secret,
      created_at = clock_timestamp()
    returning ${record}
  `.execute(db);
  if (!rows[0]) throw tooManyBrokerEntries(entriesMax);
  return rows[0];
}

/** Removes an entry: no job that is leased from now on gets it. Errors: `broker_not_found`. */
export async function removeBroker(db: Db, name: string): Promise<void> {
  const { rows } = await sql`delete from broker_entries where name = ${name} returning name`.execute(db);
  if (rows.length === 0) throw brokerNotFound([name]);
}

/** Whose jobs get entries. */
interface BrokerUser {
  readonly queue: QueueName;
  /** `''`: the job has no repository. */
  readonly repository: string;
}

/** An entry as it is stored. */
interface StoredEntry extends Facts {
  readonly secret: Buffer | null;
}

/** Reads entries that jobs like this one may use: those with these names, or with null all, as far as a job can have them. */
export async function readBroker(
  db: Db,
  { queue, repository }: BrokerUser,
  names: readonly string[] | null,
): Promise<StoredEntry[]> {
  if (names?.length === 0) return [];
  const { rows } = await sql<StoredEntry>`
    select ${facts}, secret from broker_entries
    where (${names}::text[] is null or name = any(${names}::text[]))
      and (queues is null or ${queue} = any(queues)) and (repositories is null or ${repository} = any(repositories))
    order by name limit ${jobBrokerMax}
  `.execute(db);
  return rows;
}

/** Checks that a job may use all of these entries. Errors: `broker_not_found`. */
export async function requireBroker(db: Db, user: BrokerUser, names: readonly string[]): Promise<void> {
  requireAll(names, await readBroker(db, user, names));
}

function requireAll(names: readonly string[], found: readonly StoredEntry[]): void {
  const there = new Set(found.map(({ name }) => name));
  const missing = names.filter((name) => !there.has(name));
  if (missing.length > 0) throw brokerNotFound(missing);
}

/**
 * Gives a native job the entries that were read for it, with their credentials. Errors: `broker_not_found` for one that was removed after the job
 * was made, `secret_of_other_key`, `secret_damaged`.
 */
export function withBroker(
  vault: Vault,
  job: Job,
  names: readonly string[] | null,
  stored: readonly StoredEntry[],
): Job {
  if (!job.fumehood || (names ?? stored).length === 0) return job;
  requireAll(names ?? [], stored);
  return { ...job, fumehood: { ...job.fumehood, broker: stored.map((entry) => grantOf(vault, entry)) } };
}

function grantOf(vault: Vault, { secret, ...entry }: StoredEntry): BrokerGrant {
  const { header, username } = entry;
  const text =
    secret && vault.open(secret, sealedFor(entry), `the secret of the broker's entry ${entry.name}`);
  const basic = () => `Basic ${Buffer.from(`${username}:${text}`).toString('base64')}`;
  const credential =
    text === null ? null : { header: header ?? 'authorization', value: username === null ? text : basic() };
  return brokerGrantSchema.parse({ ...entry, credential });
}
