import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { payloadTooBig, tooManyPartialUploads, uploadNotBegun, uploadPartsMissing } from './errors.ts';
import { maxIndexBytes } from './limits.ts';
import { reserveUpload } from './sql/uploads.ts';
import type { IndexSender, IndexSubject } from './store.ts';

/** Most parts of one upload: upstream's client sends parts of at least 25 MB. */
export const partsMax = 1_000;
/** Uploads that a job or a person has begun and not finished. */
const unfinishedMax = 16;
/** An upload that is not finished after this time is removed; a finished one can be finished again until then. */
const keptFor = sql`interval '1 day'`;

/** An upload that arrives in parts. */
export interface PartialUpload {
  readonly id: number;
  readonly subject: IndexSubject;
  readonly jobId: number | null;
  readonly parts: number;
  /** The size before gzip that the client announced, bytes. */
  readonly announced: number | null;
  readonly isFinished: boolean;
}

/** Only who has begun an upload goes on with it: the same attempt of a job, for the directory that its token permits, or the same person. */
const isOf = (sender: IndexSender) =>
  'grant' in sender
    ? sql`job_id = ${sender.grant.jobId} and attempt = ${sender.grant.attempt}
        and place ->> 'root' = coalesce(${sender.grant.root}, place ->> 'root')`
    : sql`user_id = ${sender.userId}`;

/** Uploads of one sender are counted one after the other. */
const lockSender = (tx: Db, sender: IndexSender) => {
  const key = 'grant' in sender ? `upload job ${sender.grant.jobId}` : `upload user ${sender.userId}`;
  return sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
};

/** Begins an upload in parts; returns its number. Errors: `too_many_partial_uploads`. */
export async function beginUpload(
  db: Db,
  sender: IndexSender,
  subject: IndexSubject,
  { parts, announced }: Pick<PartialUpload, 'parts' | 'announced'>,
): Promise<number> {
  return await transaction(db, async (tx) => {
    await lockSender(tx, sender);
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from partial_uploads where ${isOf(sender)} and finished_at is null
    `.execute(tx);
    if ((rows[0]?.count ?? 0) >= unfinishedMax) throw tooManyPartialUploads(unfinishedMax);
    const id = await reserveUpload(tx);
    const [jobId, attempt, userId] =
      'grant' in sender ? [sender.grant.jobId, sender.grant.attempt, null] : [null, null, sender.userId];
    const place = { ...subject, jobId: 'grant' in sender ? null : sender.jobId };
    await sql`
      insert into partial_uploads (id, job_id, attempt, user_id, place, parts, announced)
      values (${id}, ${jobId}, ${attempt}, ${userId}, ${JSON.stringify(place)}, ${parts}, ${announced})
    `.execute(tx);
    return id;
  });
}

/** Returns an upload that this sender has begun. Errors: `upload_not_begun`. */
export async function findPartialUpload(db: Db, sender: IndexSender, id: number): Promise<PartialUpload> {
  const { rows } = await sql<{
    place: IndexSubject & { jobId: number | null };
    parts: number;
    announced: number | null;
    isFinished: boolean;
  }>`
    select place, parts, announced, finished_at is not null as "isFinished" from partial_uploads
    where id = ${id} and ${isOf(sender)}
  `.execute(db);
  const [found] = rows;
  if (!found) throw uploadNotBegun(id);
  const {
    place: { jobId, ...subject },
    ...rest
  } = found;
  return { id, subject, jobId, ...rest };
}

/**
 * Adds a part, which is a blob; one that was sent before is replaced. Errors: `payload_too_big` when the unfinished uploads of the sender have too
 * many bytes.
 */
export async function addPart(
  db: Db,
  sender: IndexSender,
  id: number,
  part: { readonly index: number; readonly digest: string; readonly bytes: number },
): Promise<void> {
  const { index, digest, bytes } = part;
  await transaction(db, async (tx) => {
    await lockSender(tx, sender);
    await sql`
      insert into partial_upload_parts (upload_id, part, digest, bytes) values (${id}, ${index}, ${digest}, ${bytes})
      on conflict (upload_id, part) do update set digest = excluded.digest, bytes = excluded.bytes
    `.execute(tx);
    const { rows } = await sql<{ total: number }>`
      select coalesce(sum(bytes), 0)::bigint as total
      from partial_upload_parts join partial_uploads on id = upload_id where ${isOf(sender)} and finished_at is null
    `.execute(tx);
    if (Number(rows[0]?.total) > maxIndexBytes) throw payloadTooBig(maxIndexBytes);
  });
}

/** Returns the digests of all parts, in their order. A backup has no parts, so `hasBlob` may not know one. Errors: `upload_parts_missing`. */
export async function partsOf(
  db: Db,
  { id, parts }: PartialUpload,
  hasBlob: (digest: string) => Promise<boolean>,
): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`
    select digest from partial_upload_parts where upload_id = ${id} order by part
  `.execute(db);
  const present = await Promise.all(rows.map(({ digest }) => hasBlob(digest)));
  const missing = parts - present.filter(Boolean).length;
  if (missing > 0) throw uploadPartsMissing(missing);
  return rows.map(({ digest }) => digest);
}

/**
 * Says that an upload is finished, in the transaction that stores its index, and forgets its parts. Errors: `upload_not_begun` when it was removed,
 * or another request has finished it.
 */
export async function finishUpload(tx: Db, id: number): Promise<void> {
  const { rows } = await sql`
    update partial_uploads set finished_at = clock_timestamp() where id = ${id} and finished_at is null returning 1
  `.execute(tx);
  if (rows.length === 0) throw uploadNotBegun(id);
  await sql`delete from partial_upload_parts where upload_id = ${id}`.execute(tx);
}

/** Removes uploads that were begun too long ago. */
export async function removeOldPartialUploads(db: Db): Promise<void> {
  await sql`delete from partial_uploads where begun_at < clock_timestamp() - ${keptFor}`.execute(db);
}

/** Returns the digests of the parts of uploads that are not finished. */
export async function partDigests(db: Db): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`
    select distinct digest from partial_upload_parts
  `.execute(db);
  return rows.map(({ digest }) => digest);
}
