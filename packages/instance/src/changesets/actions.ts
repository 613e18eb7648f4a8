import type { PublishChangesets } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { reconcilerTopic } from '../db/topics.ts';
import { transaction, wake } from '../db/transaction.ts';
import { lockBatchChange } from './batch-changes.ts';
import { type BulkType, recordBulkOperation, settleBulkOperations } from './bulk.ts';
import { changesetHostMissing, changesetNotFound, changesetNotOpen, publicationDecided } from './errors.ts';
import { hostedAmong } from './hosted.ts';

/**
 * Closes a batch change; a repetition changes nothing. `closeChangesets`: also its open changesets, on their code hosts. Errors:
 * `batch_change_not_found`.
 */
export async function closeBatchChange(
  db: Db,
  person: Person,
  publicId: string,
  { closeChangesets }: { readonly closeChangesets: boolean },
): Promise<void> {
  await transaction(db, async (tx) => {
    const { id } = await lockBatchChange(tx, person, publicId);
    await sql`
      update batch_changes set state = 'closed', closed_at = coalesce(closed_at, clock_timestamp()), updated_at = clock_timestamp()
      where id = ${id}
    `.execute(tx);
    if (!closeChangesets) return;
    await settleBulkOperations(tx, id);
    await sql`
      update changesets set closing = true, ${requeued}
      where batch_change_id = ${id} and detached_at is null and external_state in ('open', 'draft')
    `.execute(tx);
    wake(tx, reconcilerTopic);
  });
}

/** Has the reconciler look at changesets again. One that it is at now, it looks at again when it has ended. */
const requeued = sql`
  reconciler = case when reconciler = 'processing' then reconciler else 'queued' end, failure = null, failures = 0,
  process_after = clock_timestamp(), updated_at = clock_timestamp(), only_asked = false
`;

/** Has the reconciler do something beside: it does nothing else with a changeset that it has left, and a failure of before stays known. */
const asked = sql`
  only_asked = only_asked or reconciler in ('completed', 'failed'), failures = 0,
  reconciler = case when reconciler = 'processing' then reconciler else 'queued' end,
  process_after = clock_timestamp(), updated_at = clock_timestamp()
`;

/**
 * Asks for the publication of changesets of which the batch spec says nothing. Errors: `batch_change_not_found`, `changeset_not_found`,
 * `publication_decided`.
 */
export async function publishChangesets(
  db: Db,
  person: Person,
  publicId: string,
  { changesets, publication }: PublishChangesets,
): Promise<string> {
  return await change(db, person, publicId, 'publish', changesets, async (tx, found) => {
    const ids = idsOf(found);
    const { rows } = await sql<{ publicId: string }>`
      select changeset.public_id as "publicId" from changesets changeset left join changeset_specs spec on spec.id = changeset.spec_id
      where changeset.id = any(${ids}::bigint[]) and (spec.id is null or spec.kind = 'existing' or published is not null) limit 1
    `.execute(tx);
    if (rows[0]) throw publicationDecided(rows[0].publicId);
    await sql`
      update changesets set asked_publication = ${JSON.stringify(publication)}::jsonb, ${requeued} where id = any(${ids}::bigint[])
    `.execute(tx);
  });
}

/** Takes changesets out of sight: they stay on their code hosts as they are. Errors: `batch_change_not_found`, `changeset_not_found`. */
export async function archiveChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
): Promise<string> {
  return await change(db, person, publicId, 'archive', changesets, async (tx, found) => {
    await sql`
      update changesets set archiving = true, ${requeued} where id = any(${idsOf(found)}::bigint[]) and archived_at is null
    `.execute(tx);
  });
}

/** Lets changesets go: the batch change follows them no longer. Errors: `batch_change_not_found`, `changeset_not_found`. */
export async function detachChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
): Promise<string> {
  return await change(db, person, publicId, 'detach', changesets, async (tx, found) => {
    await sql`
      update changesets set detaching = true, ${requeued} where id = any(${idsOf(found)}::bigint[])
    `.execute(tx);
  });
}

/** Has changesets reconciled again that have failed, or wait after a failure. Errors: `batch_change_not_found`, `changeset_not_found`. */
export async function reenqueueChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
): Promise<string> {
  return await change(db, person, publicId, 'reenqueue', changesets, async (tx, found) => {
    await sql`
      update changesets set ${requeued} where id = any(${idsOf(found)}::bigint[]) and reconciler in ('failed', 'errored')
    `.execute(tx);
  });
}

/**
 * Has open changesets merged on their code hosts, once each: what a host refuses is a failure of the changeset, which is followed all the same.
 * `squash`: as one commit. Errors: `batch_change_not_found`, `changeset_not_found`, `changeset_host_missing`, `changeset_not_open`.
 */
export async function mergeChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
  { squash }: { readonly squash: boolean },
): Promise<string> {
  return await ask(db, person, publicId, 'merge', changesets, {
    states: ['open', 'merged'],
    assignments: sql`merging = ${squash ? 'squash' : 'merge'}`,
  });
}

/** Adds a comment (Markdown) to changesets on their code hosts, once each. Errors: those of `mergeChangesets`. */
export async function commentChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
  { body }: { readonly body: string },
): Promise<string> {
  // The clock of the host may be behind that of the database.
  const since = sql`to_char((clock_timestamp() - interval '1 hour') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`;
  return await ask(db, person, publicId, 'comment', changesets, {
    states: ['open', 'draft', 'closed', 'merged'],
    assignments: sql`
      comments = comments || jsonb_build_object('id', gen_random_uuid(), 'body', ${body}::text, 'since', ${since})
    `,
  });
}

/** Closes changesets on their code hosts; the next batch spec that has them opens them again. Errors: those of `mergeChangesets`. */
export async function closeChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
): Promise<string> {
  return await ask(db, person, publicId, 'close', changesets, {
    states: ['open', 'draft', 'closed'],
    assignments: sql`closing = true`,
  });
}

/** Asks for something that is done on code hosts, with changesets that are in one of these states there. */
async function ask(
  db: Db,
  person: Person,
  publicId: string,
  type: BulkType,
  changesets: readonly string[],
  { states, assignments }: { readonly states: readonly string[]; readonly assignments: RawBuilder<unknown> },
): Promise<string> {
  return await change(db, person, publicId, type, changesets, async (tx, found) => {
    const hosted = await hostedAmong(tx, [...new Set(found.map(({ repository }) => repository))]);
    for (const { publicId: id, repository, externalState } of found) {
      if (!hosted.has(repository)) throw changesetHostMissing(repository);
      if (!states.includes(externalState ?? '')) throw changesetNotOpen(id, externalState ?? 'not published');
    }
    await sql`
      update changesets set ${assignments}, ${asked} where id = any(${idsOf(found)}::bigint[])
    `.execute(tx);
  });
}

/** A changeset that is changed. */
interface Found {
  readonly id: number;
  readonly publicId: string;
  readonly repository: string;
  readonly externalState: string | null;
}

const idsOf = (found: readonly Found[]) => found.map(({ id }) => id);

/** Changes these changesets of a batch change, all or none. Detached ones are none of its. Returns the public id of the bulk operation. */
async function change(
  db: Db,
  person: Person,
  publicId: string,
  type: BulkType,
  changesets: readonly string[],
  run: (tx: Db, found: readonly Found[]) => Promise<void>,
): Promise<string> {
  return await transaction(db, async (tx) => {
    const { id } = await lockBatchChange(tx, person, publicId);
    const { rows } = await sql<Found>`
      select id, public_id as "publicId", repository, external_state as "externalState" from changesets
      where batch_change_id = ${id} and public_id = any(${changesets}::text[]) and detached_at is null
      order by id for update
    `.execute(tx);
    const known = new Set(rows.map((row) => row.publicId));
    const missing = changesets.find((one) => !known.has(one));
    if (missing !== undefined) throw changesetNotFound(missing);
    await settleBulkOperations(tx, id);
    await run(tx, rows);
    wake(tx, reconcilerTopic);
    return await recordBulkOperation(tx, person, id, type, idsOf(rows));
  });
}
