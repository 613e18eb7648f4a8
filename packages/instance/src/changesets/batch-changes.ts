import type {
  BatchChangeRecord,
  ChangesetRecord,
  ListBatchChanges,
  MoveBatchChange,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import type { DatabaseError } from 'pg';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { requireNamespace, visibleNamespaces } from '../organisations/namespaces.ts';
import { batchChangeBusy, batchChangeNameTaken, batchChangeNotFound } from './errors.ts';
import type { ChangesetRow } from './rows.ts';
import { stateOfChangeset } from './state.ts';

/** How a batch change is known to the database, and to clients. */
export interface BatchChangeId {
  readonly id: number;
  readonly publicId: string;
}

/** Returns the batch change with a name, and makes it if there is none, as a draft. Errors: `namespace_not_found`. */
export async function upsertBatchChange(
  db: Db,
  person: Person,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<BatchChangeId> {
  await requireNamespace(db, person, namespace);
  const { rows } = await sql<BatchChangeId>`
    insert into batch_changes (namespace, name, creator) values (${namespace}, ${name}, ${person.name})
    on conflict (namespace, name) do update set name = excluded.name
    returning id, public_id as "publicId"
  `.execute(db);
  return rows[0] as BatchChangeId;
}

/** Returns the numbers of a batch change that a person may see. Errors: `batch_change_not_found`. */
export async function requireBatchChange(db: Db, person: Person, publicId: string): Promise<BatchChangeId> {
  const namespaces = await visibleNamespaces(db, person);
  const { rows } = await sql<BatchChangeId>`
    select id, public_id as "publicId" from batch_changes
    where public_id = ${publicId} and (${namespaces}::text[] is null or namespace = any(${namespaces}::text[]))
  `.execute(db);
  if (!rows[0]) throw batchChangeNotFound(publicId);
  return rows[0];
}

/**
 * Returns the numbers of a batch change, whose row is locked to the end of the transaction: users change a batch change and its changesets one
 * after the other, and lock it before these. The reconciler locks changesets alone. Errors: `batch_change_not_found`.
 */
export async function lockBatchChange(tx: Db, person: Person, publicId: string): Promise<BatchChangeId> {
  const found = await requireBatchChange(tx, person, publicId);
  const { rows } = await sql`select from batch_changes where id = ${found.id} for update`.execute(tx);
  if (rows.length === 0) throw batchChangeNotFound(publicId);
  return found;
}

/**
 * Gives a batch change another name or namespace, and leaves its changesets as they are. A batch spec with the old name is none of its any more. Errors:
 * `batch_change_not_found`, `namespace_not_found`, `batch_change_name_taken`.
 */
export async function moveBatchChange(
  db: Db,
  person: Person,
  publicId: string,
  { namespace, name }: MoveBatchChange,
): Promise<void> {
  const { id } = await requireBatchChange(db, person, publicId);
  if (namespace !== undefined) await requireNamespace(db, person, namespace);
  try {
    await sql`
      update batch_changes set namespace = coalesce(${namespace ?? null}, namespace), name = coalesce(${name ?? null}, name),
        updated_at = clock_timestamp()
      where id = ${id}
    `.execute(db);
  } catch (error) {
    if ((error as Partial<DatabaseError>).code !== uniqueViolation) throw error;
    throw batchChangeNameTaken(publicId);
  }
}

/** PostgreSQL's code for a row that a unique index refuses. */
const uniqueViolation = '23505';

/**
 * Deletes a batch change. Its changesets stay on their code hosts as they are, and the instance follows them no longer. Errors:
 * `batch_change_not_found`; `batch_change_busy` while the instance is at one of its changesets.
 */
export async function deleteBatchChange(db: Db, person: Person, publicId: string): Promise<void> {
  await transaction(db, async (tx) => {
    const { id } = await lockBatchChange(tx, person, publicId);
    const { rows } = await sql<{ publicId: string; isClaimed: boolean }>`
      select public_id as "publicId", reconciler = 'processing' and claimed_until > clock_timestamp() as "isClaimed"
      from changesets where batch_change_id = ${id} for update
    `.execute(tx);
    const claimed = rows.find(({ isClaimed }) => isClaimed);
    if (claimed) throw batchChangeBusy(publicId, claimed.publicId);
    await sql`delete from batch_changes where id = ${id}`.execute(tx);
  });
}

/** The facts that the state of a changeset follows from, and how many changesets have them. */
type Counted = Parameters<typeof stateOfChangeset>[0] & { readonly count: number };
type StoredRecord = Omit<BatchChangeRecord, 'changesets'> & { readonly counts: readonly Counted[] };

const record = sql`
  public_id as id, namespace, name, description, creator, state,
  (select public_id from batch_specs where batch_specs.id = batch_changes.spec_id) as spec, applied_by as "appliedBy",
  iso(applied_at) as "appliedAt", waves, waves_stopped as "wavesStopped", iso(created_at) as "createdAt",
  iso(updated_at) as "updatedAt", iso(closed_at) as "closedAt", (
    select coalesce(jsonb_agg(counted), '[]') from (
      select reconciler, publication, external_state as "externalState", count(*) from changesets
      where batch_change_id = batch_changes.id and archived_at is null and detached_at is null group by 1, 2, 3
    ) as counted
  ) as counts
`;

function toRecord({ counts, ...stored }: StoredRecord): BatchChangeRecord {
  const changesets: BatchChangeRecord['changesets'] = {};
  for (const { count, ...facts } of counts) {
    const state = stateOfChangeset(facts);
    changesets[state] = (changesets[state] ?? 0) + count;
  }
  return { ...stored, changesets };
}

/** Returns the batch changes that a person may see, newest first. */
export async function listBatchChanges(
  db: Db,
  person: Person,
  { namespace, name, state, limit }: ListBatchChanges & { readonly limit: number },
): Promise<BatchChangeRecord[]> {
  const namespaces = await visibleNamespaces(db, person);
  const { rows } = await sql<StoredRecord>`
    select ${record} from batch_changes
    where (${namespaces}::text[] is null or namespace = any(${namespaces}::text[]))
      and (${namespace ?? null}::text is null or namespace = ${namespace ?? null})
      and (${name ?? null}::text is null or name = ${name ?? null})
      and (${state ?? null}::text is null or state = ${state ?? null})
    order by id desc limit ${limit}
  `.execute(db);
  return rows.map(toRecord);
}

/** Returns a batch change. Errors: `batch_change_not_found`. */
export async function readBatchChange(db: Db, person: Person, publicId: string): Promise<BatchChangeRecord> {
  const { id } = await requireBatchChange(db, person, publicId);
  const { rows } = await sql<StoredRecord>`select ${record} from batch_changes where id = ${id}`.execute(db);
  return toRecord(rows[0] as StoredRecord);
}

type StoredChangeset = Omit<ChangesetRecord, 'state'> &
  Pick<ChangesetRow, 'reconciler' | 'publication' | 'externalState'>;

/** Returns the changesets of a batch change, also archived and detached ones, in order. Errors: `batch_change_not_found`. */
export async function listChangesets(db: Db, person: Person, publicId: string): Promise<ChangesetRecord[]> {
  const { id } = await requireBatchChange(db, person, publicId);
  const { rows } = await sql<StoredChangeset>`
    select changeset.public_id as id, changeset.repository, changeset.head_ref as "headRef", spec.title, spec.published, commit,
      changeset.external_id as "externalId", external_url as "externalUrl", review, checks, failure,
      case when files is not null then jsonb_build_object('files', files, 'addedLines', added_lines, 'deletedLines', deleted_lines) end as stat,
      iso(archived_at) as "archivedAt", iso(detached_at) as "detachedAt", iso(published_at) as "publishedAt",
      iso(synced_at) as "syncedAt", reconciler, publication, external_state as "externalState"
    from changesets changeset left join changeset_specs spec on spec.id = coalesce(changeset.spec_id, reconciled_spec_id)
    where batch_change_id = ${id} order by changeset.repository, changeset.head_ref, changeset.id
  `.execute(db);
  return rows.map(({ reconciler, publication, externalState, ...stored }) => ({
    ...stored,
    state: stateOfChangeset({ reconciler, publication, externalState }),
  }));
}
