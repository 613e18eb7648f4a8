import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { transaction, wake } from '../db/transaction.ts';
import { wakeWaiting } from '../rollout/turn.ts';
import type { RemoteChangeset } from './code-host.ts';

/** The topic that is woken when the state of a changeset has to be read at once. */
export const changesetsTopic = 'changesets';
/** How long a replica that reads a state has for it, before another one does, seconds. */
const claimSeconds = 300;

/** What is stored of the state of a changeset on its host. */
export interface ChangesetStatus extends Pick<RemoteChangeset, 'review' | 'checks'> {
  /** Null: it is a branch alone, which nobody has merged. */
  readonly state: RemoteChangeset['state'] | null;
}

/** A changeset whose state is to be read. */
export interface DueChangeset {
  readonly id: number;
  readonly batchChangeId: number;
  readonly repository: string;
  /** Null: it is a branch alone. */
  readonly externalId: string | null;
  /** The commit that was pushed last. */
  readonly commit: string | null;
  /** The full name of the branch that it is to be merged into; null for one that was made elsewhere. */
  readonly baseRef: string | null;
  readonly status: ChangesetStatus;
  /** Milliseconds since it was changed, by the instance or on its host. */
  readonly unchangedMs: number;
  /** Of the row as it was read. */
  readonly version: string;
}

/** Takes a changeset whose state is due; null if none is. One that the reconciler works on, and one that is merged or deleted, is not. */
export async function takeDueChangeset(db: Db): Promise<DueChangeset | null> {
  const { rows } = await sql<DueChangeset>`
    with due as (
      select id from changesets
      where sync_after <= clock_timestamp() and publication <> 'unpublished' and detached_at is null and archived_at is null
        and external_state is distinct from 'merged' and external_state is distinct from 'deleted' and reconciler <> 'processing'
      order by sync_after limit 1 for update skip locked
    )
    update changesets set sync_after = clock_timestamp() + make_interval(secs => ${claimSeconds})
    from due where changesets.id = due.id
    returning changesets.id, batch_change_id as "batchChangeId", repository, external_id as "externalId", commit,
      (select base_ref from changeset_specs where changeset_specs.id = coalesce(reconciled_spec_id, changesets.spec_id)) as "baseRef",
      json_build_object('state', external_state, 'review', review, 'checks', checks) as status,
      (extract(epoch from clock_timestamp() - updated_at) * 1000)::bigint as "unchangedMs", changesets.xmin::text as version
  `.execute(db);
  return rows[0] ?? null;
}

/**
 * Stores the state of a changeset, and when it is read next: after `delayMs`. If the row has been changed since it was read, what was read
 * may be older than the change: nothing is stored, and it is read again. One whose checks or state have changed may let a wave begin.
 */
export async function storeStatus(
  db: Db,
  { id, batchChangeId, version, status: before }: DueChangeset,
  { state, review, checks }: ChangesetStatus,
  delayMs: number,
): Promise<void> {
  const isOther = state !== before.state || review !== before.review || checks !== before.checks;
  await transaction(db, async (tx) => {
    const { rows } = await sql`
      update changesets set external_state = ${state}, review = ${review}, checks = ${checks}, synced_at = clock_timestamp(),
        sync_after = clock_timestamp() + make_interval(secs => ${delayMs / 1_000}),
        updated_at = case when ${isOther} then clock_timestamp() else updated_at end
      where id = ${id} and xmin::text = ${version} returning 1
    `.execute(tx);
    if (rows.length === 0)
      await sql`update changesets set sync_after = clock_timestamp() where id = ${id}`.execute(tx);
    else if (isOther) await wakeWaiting(tx, batchChangeId);
  });
}

/** Has the state of a changeset read again after a time, milliseconds, and not before, unless somebody asks for it. */
export async function postponeStatus(db: Db, { id, version }: DueChangeset, delayMs: number): Promise<void> {
  await sql`
    update changesets set sync_after = clock_timestamp() + make_interval(secs => ${delayMs / 1_000}) where id = ${id} and xmin::text = ${version}
  `.execute(db);
}

/** What a delivery of a code host says that it is about. */
export interface Subjects {
  /** The numbers of changesets. */
  readonly externalIds: readonly string[];
  readonly commits: readonly string[];
}

/** Has the states of the changesets of a repository read at once that these are about. Returns how many there are. */
export async function wakeChangesets(
  db: Db,
  repository: string,
  { externalIds, commits }: Subjects,
): Promise<number> {
  const { rows } = await sql`
    update changesets set sync_after = clock_timestamp()
    where repository = ${repository} and publication <> 'unpublished' and detached_at is null and archived_at is null
      and (external_id = any(${externalIds}::text[]) or commit = any(${commits}::text[]))
    returning 1
  `.execute(db);
  if (rows.length > 0) wake(db, changesetsTopic);
  return rows.length;
}

/** Has the states of all branches alone of a repository read, after its mirror was brought up to date. */
export async function wakeBranches(db: Db, repository: string): Promise<void> {
  await sql`
    update changesets set sync_after = clock_timestamp()
    where repository = ${repository} and publication = 'pushed' and external_id is null and detached_at is null and archived_at is null
      and external_state is distinct from 'merged'
  `.execute(db);
  wake(db, changesetsTopic);
}
