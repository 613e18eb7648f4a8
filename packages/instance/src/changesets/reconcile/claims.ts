import type { ChangesetOperation } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { transaction } from '../../db/transaction.ts';
import { takeTurn, wakeWaiting } from '../../rollout/turn.ts';
import { hostedAmong } from '../hosted.ts';
import { type ChangesetFacts, planChangeset } from '../plan.ts';
import { type ChangesetRow, changesetColumns, changesetTables } from '../rows.ts';

/** How long the claim of a replica that reconciles lasts without being renewed, milliseconds. */
export const claimMs = 60_000;

/** A changeset that this replica reconciles. */
export interface ClaimedChangeset extends ChangesetRow {
  readonly claim: string;
  readonly batchChangeId: number;
  /** How often it has failed since it was last complete. */
  readonly failures: number;
  /** The commit that was pushed last. */
  readonly commit: string | null;
  /** A commit that an earlier push may have brought to the remote. */
  readonly pushing: string | null;
  /** The fork that has its branch; null: the repository itself has it, or nothing was pushed yet. */
  readonly fork: string | null;
  readonly operations: readonly ChangesetOperation[];
}

type Found = Omit<ClaimedChangeset, 'claim' | 'operations'>;

/** What a look for a changeset that is due has come to: one to reconcile, one that has to wait for its turn, or none. */
export type Claim = ClaimedChangeset | 'not its turn' | null;

/** Claims a changeset that is due, if it is its turn. A claim that has run out is that of a replica that has died. */
export async function claimChangeset(db: Db, now: number): Promise<Claim> {
  return await transaction(db, async (tx) => {
    const { rows: due } = await sql<{ id: number }>`
      select id from changesets
      where (reconciler in ('queued', 'errored') and process_after <= clock_timestamp())
        or (reconciler = 'processing' and claimed_until <= clock_timestamp())
      order by process_after limit 1 for update skip locked
    `.execute(tx);
    if (!due[0]) return null;
    const { id } = due[0];
    const { rows } = await sql<Found>`
      select ${changesetColumns}, batch_change_id as "batchChangeId", failures, commit, pushing, changeset.fork
      from ${changesetTables} where changeset.id = ${id}
    `.execute(tx);
    const found = rows[0] as Found;
    const hosted = await hostedAmong(tx, [found.repository]);
    const facts: ChangesetFacts = { ...found, isHosted: hosted.has(found.repository) };
    const operations = planChangeset(facts);
    if (!found.onlyAsked && operations.some((operation) => outside.has(operation))) {
      const publishes = found.publication === 'unpublished';
      const next = await takeTurn(tx, { id, batchChangeId: found.batchChangeId, publishes }, now);
      if (next !== null) {
        await sql`
          update changesets set reconciler = 'queued', claim = null, process_after = to_timestamp(${next / 1_000}::double precision)
          where id = ${id}
        `.execute(tx);
        return 'not its turn';
      }
    }
    const { rows: claims } = await sql<{ claim: string }>`
      update changesets set reconciler = 'processing', claim = gen_random_uuid(), claimed_until = ${until} where id = ${id}
      returning claim
    `.execute(tx);
    return { ...found, operations, claim: claims[0]?.claim ?? '' };
  });
}

/** The operations that change something at the remote or on its host, and wait for their turn; what users ask for by name does not. */
const outside: ReadonlySet<ChangesetOperation> = new Set([
  ...(['push', 'publish', 'update', 'undraft', 'close', 'reopen'] as const),
]);

const until = sql`clock_timestamp() + make_interval(secs => ${sql.lit(claimMs / 1_000)})`;

/** Renews a claim. Returns false if it is lost. */
export async function renewChangesetClaim(
  db: Db,
  { id, claim }: Pick<ClaimedChangeset, 'id' | 'claim'>,
): Promise<boolean> {
  const { rows } = await sql`
    update changesets set claimed_until = ${until} where id = ${id} and claim = ${claim} returning 1
  `.execute(db);
  return rows.length > 0;
}

/** The claim to a changeset is lost: another replica reconciles it. */
export class ClaimLost extends Error {}

/** Stores what was done with a changeset. Throws `ClaimLost`, and stores nothing, if the claim is lost. */
export async function storeProgress(
  db: Db,
  { id, claim }: Pick<ClaimedChangeset, 'id' | 'claim'>,
  assignments: RawBuilder<unknown>,
): Promise<void> {
  const { rows } = await sql`
    update changesets set ${assignments}, updated_at = clock_timestamp() where id = ${id} and claim = ${claim} returning 1
  `.execute(db);
  if (rows.length === 0) throw new ClaimLost();
}

/** Whether nobody has asked for something else since the claim. */
const isUnchanged = ({ specId, asked, closing, archiving, detaching }: ClaimedChangeset) => sql`(
  spec_id is not distinct from ${specId} and asked_publication is not distinct from ${asked === null ? null : JSON.stringify(asked)}::jsonb
  and closing = ${closing} and archiving = ${archiving} and detaching = ${detaching}
)`;

/** Whether users have asked for something beside since the claim. */
const isAsked = ({ comments, merging }: ClaimedChangeset) => sql`(
  ${otherComments(comments)} <> '[]' or (merging is not null and merging is distinct from ${merging})
)`;

/** The comments that users ask for, without these. */
export const otherComments = (comments: ClaimedChangeset['comments']) => sql`(
  select coalesce(jsonb_agg(one order by position), '[]') from jsonb_array_elements(comments) with ordinality as all_of (one, position)
  where one ->> 'id' <> all(${comments.map(({ id }) => id)}::text[])
)`;

/** Stores how the reconciling of a changeset has ended, which may let the next wave of its batch change begin. */
async function endClaim(db: Db, claimed: ClaimedChangeset, assignments: RawBuilder<unknown>): Promise<void> {
  await transaction(db, async (tx) => {
    await storeProgress(tx, claimed, sql`${assignments}, claim = null, claimed_until = null`);
    await wakeWaiting(tx, claimed.batchChangeId);
  });
}

/** Stores that all is done that was to be done when the changeset was claimed. If somebody has asked for something else since, it is reconciled again. */
export async function finishChangeset(db: Db, claimed: ClaimedChangeset): Promise<void> {
  const { specId, closing, archiving, detaching, merging, onlyAsked } = claimed;
  // What has been left out may still be due when the batch spec is applied again.
  const made = onlyAsked || closing || archiving || detaching ? null : specId;
  const failure = sql`case when ${onlyAsked} and external_state is distinct from 'merged' then failure end`;
  await endClaim(
    db,
    claimed,
    sql`
      reconciler = case when not ${isUnchanged(claimed)} or ${isAsked(claimed)} then 'queued'
        when ${failure} is not null then 'failed' else 'completed' end,
      process_after = clock_timestamp(), failures = 0, failure = ${failure},
      merging = nullif(merging, ${merging}), only_asked = ${isUnchanged(claimed)}, reconciled_spec_id = coalesce(${made}, reconciled_spec_id),
      closing = closing and not ${closing}, archiving = archiving and not ${archiving}, detaching = detaching and not ${detaching},
      archived_at = case when ${archiving} then clock_timestamp() else archived_at end,
      detached_at = case when ${detaching} then clock_timestamp() else detached_at end
    `,
  );
}

/**
 * Stores that a changeset could not be reconciled. `retryMs`: when it is tried again; null: not before somebody asks for it, and what users
 * had asked for beside is not done any more.
 */
export async function failChangeset(
  db: Db,
  claimed: ClaimedChangeset,
  failure: string,
  retryMs: number | null,
): Promise<void> {
  const { comments, merging } = claimed;
  const isLast = retryMs === null;
  await endClaim(
    db,
    claimed,
    sql`
      comments = ${isLast ? otherComments(comments) : sql`comments`}, merging = ${isLast ? sql`nullif(merging, ${merging})` : sql`merging`},
      reconciler = case when not ${isUnchanged(claimed)} or ${isAsked(claimed)} then 'queued' else ${retryMs === null ? 'failed' : 'errored'} end,
      process_after = clock_timestamp() + case when ${isUnchanged(claimed)} then make_interval(secs => ${(retryMs ?? 0) / 1_000}) else '0' end,
      failures = case when ${isUnchanged(claimed)} then failures + 1 else 0 end, failure = ${failure.slice(0, 2_000)}
    `,
  );
}
