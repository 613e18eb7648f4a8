import type { RemoteRefs } from '@fumehood/git';
import type { RepositoryRecord, setRepositorySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { transaction, wake } from '../db/transaction.ts';
import type { Vault } from '../secrets/vault.ts';
import {
  repositoryMirrored,
  repositoryNotFound,
  repositorySent,
  syncRunning,
  tooManyRepositories,
} from './errors.ts';
import { webhookState } from './webhooks.ts';

/** The most repositories of an instance. */
const repositoriesMax = 100_000;
/** The topic that is woken when a repository has to be synced at once. */
export const syncTopic = 'sync';
/** How long the claim of a replica that syncs lasts without being renewed. */
export const claimMs = 60_000;
/** Time before a sync that failed is tried again; each further failure doubles it, up to the repository's interval. */
const retrySeconds = 10;

const record = sql`
  name, url, username, extract(epoch from sync_interval)::int as "intervalSeconds", iso(created_at) as "createdAt",
  head as branch,
  (select object from repository_refs where repository_id = id and repository_refs.name = head) as commit,
  (select count(*) from repository_refs where repository_id = id and repository_refs.name like 'refs/heads/%') as branches,
  (select count(*) from repository_refs where repository_id = id and repository_refs.name like 'refs/tags/%') as tags,
  iso(synced_at) as "syncedAt", iso(tried_at) as "triedAt", iso(sync_after) as "nextSyncAt", failure,
  ${webhookState} as webhook
`;

/** What a password is sealed for: whoever can write to the table, but lacks the key, cannot have it sent elsewhere. */
const sealedFor = (repository: {
  readonly name: string;
  readonly url: string | null;
  readonly username: string | null;
}) => ['repository', repository.name, repository.url, repository.username];

/** Returns the repositories that the instance mirrors, by name. */
export async function listRepositories(db: Db): Promise<RepositoryRecord[]> {
  return (await sql<RepositoryRecord>`select ${record} from repositories order by name`.execute(db)).rows;
}

/** Returns a repository that the instance mirrors. Errors: `repository_not_found`. */
export async function readRepository(db: Db, name: string): Promise<RepositoryRecord> {
  const { rows } =
    await sql<RepositoryRecord>`select ${record} from repositories where name = ${name}`.execute(db);
  if (!rows[0]) throw repositoryNotFound(name);
  return rows[0];
}

/** Mirrors a repository from now on, or changes where from. It is synced at once. Errors: `too_many_repositories`. */
export async function setRepository(
  db: Db,
  vault: Vault,
  name: string,
  { url, username: user, password, intervalSeconds }: z.output<typeof setRepositorySchema>,
): Promise<RepositoryRecord> {
  const username = user ?? null;
  const sealed = password === undefined ? null : vault.seal(password, sealedFor({ name, url, username }));
  return await transaction(db, async (tx) => {
    const { rows } = await sql`
      insert into repositories (name, url, username, password, sync_interval)
      select ${name}, ${url}, ${username}, ${sealed}, make_interval(secs => ${intervalSeconds})
      where (select count(*) from repositories where name <> ${name}) < ${repositoriesMax}
      on conflict (name) do update set url = excluded.url, username = excluded.username, password = excluded.password,
        sync_interval = excluded.sync_interval, sync_after = clock_timestamp(), failures = 0, failure = null,
        -- What a sync of before brings is not stored.
        claim = null, claimed_until = null
      returning 1
    `.execute(tx);
    if (rows.length === 0) throw tooManyRepositories(repositoriesMax);
    wake(tx, syncTopic);
    return await readRepository(tx, name);
  });
}

/**
 * Removes a repository, and what was indexed of it. Returns the directory of its mirror, which nobody needs any more. Errors:
 * `repository_not_found`.
 */
export async function removeRepository(db: Db, name: string): Promise<string | null> {
  const { rows } = await sql<{ place: string | null }>`
    with indexes as (delete from uploads where repository = ${name}),
      decided as (delete from indexings where repository = ${name})
    delete from repositories where name = ${name} returning place
  `.execute(db);
  if (!rows[0]) throw repositoryNotFound(name);
  return rows[0].place;
}

/** Has a repository synced at once. Errors: `repository_not_found`, `repository_sent`. */
export async function requestSync(db: Db, name: string): Promise<void> {
  const { rows } = await sql`
    update repositories set sync_after = least(sync_after, clock_timestamp()) where name = ${name} and url is not null returning 1
  `.execute(db);
  if (rows.length === 0) {
    await readRepository(db, name);
    throw repositorySent(name);
  }
  wake(db, syncTopic);
}

/** Returns whether the instance mirrors a repository, or has it as one whose commits clients send. */
export async function isMirrored(db: Db, name: string): Promise<boolean> {
  return (await sql`select from repositories where name = ${name}`.execute(db)).rows.length > 0;
}

/** Returns the directory of a repository's mirror; null if it has none. */
export async function placeOf(db: Db, name: string): Promise<string | null> {
  const { rows } = await sql<{
    place: string | null;
  }>`select place from repositories where name = ${name}`.execute(db);
  return rows[0]?.place ?? null;
}

/** The claim of a replica to a repository. */
export interface Claim {
  readonly id: number;
  readonly name: string;
  /** The directory of its mirror; null: it has none. */
  readonly place: string | null;
  readonly claim: string;
}

/** Where a repository is mirrored from. */
export interface Remote {
  readonly name: string;
  readonly url: string;
  readonly username: string | null;
  readonly password: Buffer | null;
}

/** A repository that this replica syncs. */
export interface ClaimedRepository extends Claim, Remote {}

/** Claims a repository that is due; null if none is. */
export async function claimRepository(db: Db): Promise<ClaimedRepository | null> {
  const { rows } = await sql<ClaimedRepository>`
    update repositories set claim = gen_random_uuid(), claimed_until = clock_timestamp() + make_interval(secs => ${claimMs / 1_000}),
      sync_after = clock_timestamp() + sync_interval
    where id = (
      select id from repositories
      -- A claim that ran out is that of a replica that has died.
      where url is not null and (sync_after <= clock_timestamp() or claim is not null)
        and (claimed_until is null or claimed_until < clock_timestamp())
      order by sync_after limit 1 for update skip locked
    )
    returning id, name, url, username, password, place, claim
  `.execute(db);
  return rows[0] ?? null;
}

/**
 * Claims a repository whose history a client sends. Errors: `repository_not_found`, `repository_mirrored` for one with a URL, `sync_running` while it is
 * claimed.
 */
export async function claimSent(db: Db, name: string): Promise<Claim> {
  const { rows } = await sql<Claim>`
    update repositories set claim = gen_random_uuid(), claimed_until = clock_timestamp() + make_interval(secs => ${claimMs / 1_000})
    where name = ${name} and url is null and (claimed_until is null or claimed_until < clock_timestamp())
    returning id, name, place, claim
  `.execute(db);
  if (rows[0]) return rows[0];
  const { url } = await readRepository(db, name);
  throw url === null ? syncRunning(name) : repositoryMirrored(name);
}

/** Renews a claim. Returns false if it is lost. */
export async function renewClaim(db: Db, { id, claim }: Claim): Promise<boolean> {
  const { rows } = await sql`
    update repositories set claimed_until = clock_timestamp() + make_interval(secs => ${claimMs / 1_000})
    where id = ${id} and claim = ${claim} returning 1
  `.execute(db);
  return rows.length > 0;
}

/** Returns the password of a repository. Errors: `secret_of_other_key`, `secret_damaged`. */
export const passwordOf = (vault: Vault, repository: Remote): string | null =>
  repository.password &&
  vault.open(repository.password, sealedFor(repository), `the password for ${repository.name}`);

/** Stores what a sync brought, and ends the claim. Returns false, and stores nothing, if the claim is lost. */
export async function finishSync(
  db: Db,
  { id, claim }: Claim,
  {
    place,
    remote: { head, refs, commits },
  }: { readonly place: string; readonly remote: Pick<RemoteRefs, 'head' | 'refs' | 'commits'> },
): Promise<boolean> {
  return await transaction(db, async (tx) => {
    const { rows } = await sql`
      update repositories set place = ${place}, head = ${head}, synced_at = clock_timestamp(), tried_at = clock_timestamp(), failures = 0, failure = null,
        claim = null, claimed_until = null
      where id = ${id} and claim = ${claim} returning 1
    `.execute(tx);
    if (rows.length === 0) return false;
    const [names, objects] = [[...refs.keys()], [...refs.values()]];
    const peeled = names.map((name) => commits.get(name) ?? null);
    await sql`
      delete from repository_refs where repository_id = ${id} and not name = any(${names}::text[])
    `.execute(tx);
    await sql`
      insert into repository_refs (repository_id, name, object, commit)
      select ${id}, name, object, commit
      from unnest(${names}::text[], ${objects}::text[], ${peeled}::text[]) as ref (name, object, commit)
      on conflict (repository_id, name) do update set object = excluded.object, commit = excluded.commit
        where repository_refs.object <> excluded.object
    `.execute(tx);
    return true;
  });
}

/** Stores why a sync failed, and when it is tried again, and ends the claim. */
export async function failSync(db: Db, { id, claim }: Claim, failure: string): Promise<void> {
  await sql`
    update repositories set tried_at = clock_timestamp(), failures = failures + 1, failure = ${failure.slice(0, 2_000)}, claim = null, claimed_until = null,
      sync_after = least(sync_after, clock_timestamp() + make_interval(secs => ${retrySeconds} * power(2, least(failures, 20))))
    where id = ${id} and claim = ${claim}
  `.execute(db);
}

/** Returns the directories of all mirrors. */
export async function readPlaces(db: Db): Promise<string[]> {
  const { rows } = await sql<{
    place: string;
  }>`select place from repositories where place is not null`.execute(db);
  return rows.map(({ place }) => place);
}
