import type { PublishChangesets } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { reconcilerTopic } from '../db/topics.ts';
import { transaction, wake } from '../db/transaction.ts';
import { requireBatchChange } from './batch-changes.ts';
import { changesetNotFound, publicationDecided } from './errors.ts';

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
    const { id } = await requireBatchChange(tx, person, publicId);
    await sql`
      update batch_changes set state = 'closed', closed_at = coalesce(closed_at, clock_timestamp()), updated_at = clock_timestamp()
      where id = ${id}
    `.execute(tx);
    if (!closeChangesets) return;
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
): Promise<void> {
  await change(db, person, publicId, changesets, async (tx, ids) => {
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
): Promise<void> {
  await change(db, person, publicId, changesets, async (tx, ids) => {
    await sql`
      update changesets set archiving = true, ${requeued} where id = any(${ids}::bigint[]) and archived_at is null
    `.execute(tx);
  });
}

/** Lets changesets go: the batch change follows them no longer. Errors: `batch_change_not_found`, `changeset_not_found`. */
export async function detachChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
): Promise<void> {
  await change(db, person, publicId, changesets, async (tx, ids) => {
    await sql`update changesets set detaching = true, ${requeued} where id = any(${ids}::bigint[])`.execute(
      tx,
    );
  });
}

/** Has changesets reconciled again that have failed, or wait after a failure. Errors: `batch_change_not_found`, `changeset_not_found`. */
export async function reenqueueChangesets(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
): Promise<void> {
  await change(db, person, publicId, changesets, async (tx, ids) => {
    await sql`
      update changesets set ${requeued} where id = any(${ids}::bigint[]) and reconciler in ('failed', 'errored')
    `.execute(tx);
  });
}

/** Changes these changesets of a batch change, all or none. Detached ones are none of its. */
async function change(
  db: Db,
  person: Person,
  publicId: string,
  changesets: readonly string[],
  run: (tx: Db, ids: readonly number[]) => Promise<void>,
): Promise<void> {
  await transaction(db, async (tx) => {
    const { id } = await requireBatchChange(tx, person, publicId);
    const { rows } = await sql<{ id: number; publicId: string }>`
      select id, public_id as "publicId" from changesets
      where batch_change_id = ${id} and public_id = any(${changesets}::text[]) and detached_at is null
      order by id for update
    `.execute(tx);
    const known = new Set(rows.map((row) => row.publicId));
    const missing = changesets.find((one) => !known.has(one));
    if (missing !== undefined) throw changesetNotFound(missing);
    await run(
      tx,
      rows.map((row) => row.id),
    );
    wake(tx, reconcilerTopic);
  });
}
