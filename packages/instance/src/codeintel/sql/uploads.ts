import type { UploadRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** What an uploaded index is about, and who sent it. */
export interface IndexPlace {
  readonly repository: string;
  readonly commit: string;
  /** The indexed directory, from the top of the repository; paths in the index start there. */
  readonly root: string;
  readonly indexer: string;
  readonly indexerVersion: string;
  /** The upload's number, if it has been given one; see `reserveUpload`. */
  readonly id?: number;
  /** The job that made it; null: a person sent it, and named none. */
  readonly jobId: number | null;
  /** The person who sent it. */
  readonly userId: number | null;
}

/** How much an index holds. */
export interface IndexCounts {
  readonly documents: number;
  readonly occurrences: number;
  readonly symbols: number;
}

/** Returns an upload's record, or null. */
export async function readUpload(db: Db, id: number): Promise<UploadRecord | null> {
  const { rows } = await sql<UploadRecord>`
    select id, repository, commit, root, indexer, indexer_version as "indexerVersion", job_id as "jobId",
      (select name from users where users.id = uploaded_by) as "uploadedBy", iso(uploaded_at) as "uploadedAt",
      documents, occurrences, symbols
    from uploads where id = ${id}
  `.execute(db);
  return rows[0] ?? null;
}

/** Returns whether the instance has an index of a repository, which it does not have to mirror. */
export async function hasUploads(db: Db, repository: string): Promise<boolean> {
  const { rows } = await sql`select 1 from uploads where repository = ${repository} limit 1`.execute(db);
  return rows.length > 0;
}

/** Returns the uploads of a commit whose root is above a path, the narrowest first. */
export async function uploadsCovering(
  db: Db,
  {
    repository,
    commit,
    path,
  }: { readonly repository: string; readonly commit: string; readonly path: string },
): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from uploads
    where repository = ${repository} and commit = ${commit} and (root = '' or starts_with(${path}, root || '/'))
    order by length(root) desc, id
  `.execute(db);
  return rows.map(({ id }) => id);
}

/** Returns the commits that have an upload whose root is above a path. */
export async function commitsCovering(
  db: Db,
  { repository, path }: { readonly repository: string; readonly path: string },
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ commit: string }>`
    select distinct commit from uploads
    where repository = ${repository} and (root = '' or starts_with(${path}, root || '/'))
  `.execute(db);
  return new Set(rows.map(({ commit }) => commit));
}

/** Returns the uploads of a commit. */
export async function uploadsOf(db: Db, repository: string, commit: string): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from uploads where repository = ${repository} and commit = ${commit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/**
 * Inserts an upload and deletes the earlier one of the same repository, commit, root and indexer. Other uploads to that place
 * wait until the transaction ends. Returns the upload's number.
 */
export async function replaceUpload(tx: Db, place: IndexPlace): Promise<number> {
  const { repository, commit, root, indexer, indexerVersion, jobId, userId } = place;
  const id = place.id ?? (await reserveUpload(tx));
  const key = JSON.stringify([repository, commit, root, indexer]);
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
  await sql`
    delete from uploads
    where repository = ${repository} and commit = ${commit} and root = ${root} and indexer = ${indexer}
  `.execute(tx);
  await sql`
    insert into uploads (id, repository, commit, root, indexer, indexer_version, job_id, uploaded_by)
    overriding system value
    values (${id}, ${repository}, ${commit}, ${root}, ${indexer}, ${indexerVersion}, ${jobId}, ${userId})
  `.execute(tx);
  return id;
}

/** Returns a number that no other upload has. */
export async function reserveUpload(db: Db): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    select nextval(pg_get_serial_sequence('uploads', 'id')) as id
  `.execute(db);
  return (rows[0] as { id: number }).id;
}

/** Stores what was counted while the index was read. */
export async function saveCounts(tx: Db, id: number, counts: IndexCounts): Promise<void> {
  await sql`
    update uploads set documents = ${counts.documents}, occurrences = ${counts.occurrences}, symbols = ${counts.symbols}
    where id = ${id}
  `.execute(tx);
}
