import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { visibleNamespaces } from '../organisations/namespaces.ts';
import { requireBatchChange } from './batch-changes.ts';
import { bulkOperationNotFound } from './errors.ts';

/** What can be asked for with several changesets at once. */
export type BulkType = 'publish' | 'archive' | 'detach' | 'reenqueue' | 'merge' | 'comment' | 'close';

/** What somebody has asked for with several changesets at once, and how far it is. */
export interface BulkOperation {
  readonly id: string;
  /** The public id. */
  readonly batchChange: string;
  readonly type: BulkType;
  readonly creator: string;
  readonly changesetCount: number;
  /** With how many of them the reconciler has come to an end. */
  readonly done: number;
  readonly createdAt: string;
  /** When it was found that all are done; null: some are not. */
  readonly finishedAt: string | null;
  /** Those with which it has failed, by their public ids. */
  readonly failures: readonly { readonly changeset: string; readonly error: string }[];
}

/** The changesets of an operation that the reconciler is not at, and does not come to. */
const settled = sql`reconciler in ('completed', 'failed')`;
/** A failure of before leaves the number of failures at 0 (`finishChangeset`). */
const failures = sql`(
  select coalesce(jsonb_agg(jsonb_build_object('changeset', changeset.public_id, 'error', failure) order by changeset.id), '[]')
  from changesets changeset where changeset.id = any(operation.changesets) and reconciler = 'failed' and failures > 0
)`;

/** Records what somebody asks for with changesets. Returns the public id. The transaction holds the rows of the changesets. */
export async function recordBulkOperation(
  tx: Db,
  { name }: Person,
  batchChangeId: number,
  type: BulkType,
  changesets: readonly number[],
): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    insert into bulk_operations (batch_change_id, type, creator, changesets)
    values (${batchChangeId}, ${type}, ${name}, ${changesets}::bigint[]) returning public_id as id
  `.execute(tx);
  return rows[0]?.id ?? '';
}

/** Stores the ends of the operations of a batch change that are done, before something else is asked for with their changesets. */
export async function settleBulkOperations(db: Db, batchChangeId: number): Promise<void> {
  await sql`
    update bulk_operations operation set finished_at = clock_timestamp(), failures = ${failures}
    where batch_change_id = ${batchChangeId} and finished_at is null and not exists (
      select from changesets changeset where changeset.id = any(operation.changesets) and not ${settled}
    )
  `.execute(db);
}

const record = sql`
  operation.public_id as id, (select public_id from batch_changes where id = batch_change_id) as "batchChange", type, operation.creator, cardinality(changesets) as "changesetCount", iso(operation.created_at) as "createdAt",
  iso(finished_at) as "finishedAt", case when finished_at is null then ${failures} else operation.failures end as failures,
  case when finished_at is not null then cardinality(changesets) else (
    select count(*)::int from changesets changeset where changeset.id = any(operation.changesets) and ${settled}
  ) end as done
`;

/** Returns operations of a batch change, newest first, after so many others. Errors: `batch_change_not_found`. */
export async function listBulkOperations(
  db: Db,
  person: Person,
  batchChange: string,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<{ readonly operations: BulkOperation[]; readonly total: number }> {
  const { id } = await requireBatchChange(db, person, batchChange);
  await settleBulkOperations(db, id);
  const { rows } = await sql<BulkOperation>`
    select ${record} from bulk_operations operation where batch_change_id = ${id}
    order by operation.id desc limit ${limit} offset ${after}
  `.execute(db);
  const { rows: counts } = await sql<{ total: number }>`
    select count(*)::int as total from bulk_operations where batch_change_id = ${id}
  `.execute(db);
  return { operations: rows, total: counts[0]?.total ?? 0 };
}

/** Returns an operation. Errors: `bulk_operation_not_found`. */
export async function readBulkOperation(db: Db, person: Person, publicId: string): Promise<BulkOperation> {
  const namespaces = await visibleNamespaces(db, person);
  const { rows } = await sql<{ id: number; batchChangeId: number }>`
    select operation.id, batch_change_id as "batchChangeId" from bulk_operations operation join batch_changes on batch_changes.id = batch_change_id
    where operation.public_id = ${publicId} and (${namespaces}::text[] is null or namespace = any(${namespaces}::text[]))
  `.execute(db);
  if (!rows[0]) throw bulkOperationNotFound(publicId);
  await settleBulkOperations(db, rows[0].batchChangeId);
  const { rows: found } = await sql<BulkOperation>`
    select ${record} from bulk_operations operation where operation.id = ${rows[0].id}
  `.execute(db);
  if (!found[0]) throw bulkOperationNotFound(publicId);
  return found[0];
}
