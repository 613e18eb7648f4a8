import { parseBatchSpec } from '@fumehood/batch-spec';
import type { ApplyBatchSpec, Publication } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { reconcilerTopic } from '../db/topics.ts';
import { transaction, wake } from '../db/transaction.ts';
import type { BatchChangeId } from './batch-changes.ts';
import { settleBulkOperations } from './bulk.ts';
import { shortName } from './derive.ts';
import {
  batchSpecForOther,
  changesetBranchTaken,
  changesetSpecNotFound,
  publicationDecided,
} from './errors.ts';
import type { Match } from './match.ts';
import { factsOnceApplied } from './next.ts';
import { type ChangesetFacts, planChangeset } from './plan.ts';
import { type ApplicableSpec, matchSpec, requireApplicable } from './preview.ts';
import type { SpecRow } from './rows.ts';

/**
 * Applies a batch spec: its batch change, which is made if there is none, gets its changesets, and the reconciler does the rest. Applying the same one again
 * changes nothing. `batchChange`: the public id of the one that it has to be for; null: any. Errors: `batch_spec_not_found`,
 * `batch_spec_not_built`, `batch_spec_canceled`, `batch_spec_for_other`, `changeset_spec_not_found`, `publication_decided`, `changeset_branch_taken`.
 */
export async function applyBatchSpec(
  { db }: { readonly db: Db },
  person: Person,
  publicId: string,
  {
    publicationStates = [],
    waves = null,
    batchChange = null,
  }: ApplyBatchSpec & { readonly batchChange?: string | null },
): Promise<BatchChangeId> {
  const asked = new Map(
    publicationStates.map(({ changesetSpec, publication }) => [changesetSpec, publication]),
  );
  return await transaction(db, async (tx) => {
    const spec = await requireApplicable(tx, person, publicId);
    const owner = await openBatchChange(tx, person, spec, waves);
    const isOther = spec.batchChangeId !== null && spec.batchChangeId !== owner.id;
    if (isOther || (batchChange !== null && batchChange !== owner.publicId))
      throw batchSpecForOther(publicId);
    const { matches, hosted } = await matchSpec(tx, spec.id, owner.id);
    requireUndecided(matches, asked);
    await settleBulkOperations(tx, owner.id);
    for (const match of matches) {
      const { repository, publicId: id } = match.spec ?? match.changeset;
      const facts = factsOnceApplied(match, hosted.has(repository), asked.get(id));
      if (match.changeset) await updateChangeset(tx, match, facts);
      else if (match.spec) await addChangeset(tx, owner.id, match.spec, facts);
    }
    wake(tx, reconcilerTopic);
    return owner;
  });
}

/** Makes or opens the batch change of a batch spec. Its row stays locked: two batch specs are applied one after the other. */
async function openBatchChange(
  tx: Db,
  { name: person }: Person,
  { id, namespace, name, text }: ApplicableSpec,
  waves: ApplyBatchSpec['waves'],
): Promise<BatchChangeId> {
  const description = parseBatchSpec(text).description ?? '';
  const waveFacts = waves === null ? null : JSON.stringify(waves);
  const { rows } = await sql<BatchChangeId>`
    insert into batch_changes as kept (namespace, name, description, creator, state, spec_id, applied_by, applied_at, waves)
    values (${namespace}, ${name}, ${description}, ${person}, 'open', ${id}, ${person}, clock_timestamp(), ${waveFacts}::jsonb)
    on conflict (namespace, name) do update set description = excluded.description, state = 'open', spec_id = excluded.spec_id,
      applied_by = case when kept.spec_id = excluded.spec_id then kept.applied_by else excluded.applied_by end,
      applied_at = case when kept.spec_id = excluded.spec_id then kept.applied_at else excluded.applied_at end,
      waves = excluded.waves, waves_stopped = null, updated_at = clock_timestamp(), closed_at = null
    returning id, public_id as "publicId"
  `.execute(tx);
  return rows[0] as BatchChangeId;
}

function requireUndecided(matches: readonly Match[], asked: ReadonlyMap<string, Publication>): void {
  const specs = new Map(matches.flatMap(({ spec }) => (spec ? [[spec.publicId, spec.wanted]] : [])));
  for (const id of asked.keys()) {
    const wanted = specs.get(id);
    if (!wanted) throw changesetSpecNotFound(id);
    if (wanted.kind === 'existing' || wanted.published !== null) throw publicationDecided(id);
  }
}

const isNothing = (facts: ChangesetFacts) =>
  planChangeset(facts).every((operation) => operation === 'nothing');
const json = (value: Publication | null) => (value === null ? null : JSON.stringify(value));

async function addChangeset(tx: Db, owner: number, spec: SpecRow, facts: ChangesetFacts): Promise<void> {
  const { repository, headRef, externalId } = spec;
  const { rows } = await sql`
    insert into changesets (batch_change_id, repository, spec_id, head_ref, external_id, asked_publication, reconciler)
    values (${owner}, ${repository}, ${spec.id}, ${headRef}, ${externalId}, ${json(facts.asked)}::jsonb,
      ${isNothing(facts) ? 'completed' : 'queued'})
    on conflict (repository, head_ref) where head_ref is not null and detached_at is null and archived_at is null do nothing
    returning 1
  `.execute(tx);
  if (rows.length === 0) await refuseTaken(tx, spec);
}

/** Changes a changeset. Whoever reconciles it now, finds that when it has ended. */
async function updateChangeset(tx: Db, { spec, changeset }: Match, facts: ChangesetFacts): Promise<void> {
  if (!changeset) return;
  const state = isNothing(facts) ? 'completed' : 'queued';
  const { closing, archiving, detaching } = facts;
  if (spec && changeset.isArchived) await requireFree(tx, spec, changeset.id);
  await sql`
    update changesets set spec_id = ${spec?.id ?? null}, asked_publication = ${json(facts.asked)}::jsonb, closing = ${closing},
      archiving = ${archiving}, detaching = ${detaching}, archived_at = case when ${spec !== null} then null else archived_at end,
      merging = case when spec_id is not distinct from ${spec?.id ?? null} then merging end, only_asked = false,
      reconciler = case when reconciler = 'processing' then reconciler when merging is null and comments = '[]' then ${state} else 'queued' end,
      failure = null, failures = 0, process_after = clock_timestamp(), updated_at = clock_timestamp()
    where id = ${changeset.id}
  `.execute(tx);
}

async function requireFree(tx: Db, spec: SpecRow, changesetId: number): Promise<void> {
  const { rows } = await sql`
    select from changesets where repository = ${spec.repository} and head_ref = ${spec.headRef} and id <> ${changesetId}
      and detached_at is null and archived_at is null
  `.execute(tx);
  if (rows.length > 0) await refuseTaken(tx, spec);
}

async function refuseTaken(tx: Db, { repository, headRef }: SpecRow): Promise<never> {
  const { rows } = await sql<{ owner: string }>`
    select namespace || '/' || name as owner from changesets join batch_changes on batch_changes.id = batch_change_id
    where repository = ${repository} and head_ref = ${headRef} and detached_at is null and archived_at is null
  `.execute(tx);
  throw changesetBranchTaken(shortName(headRef ?? ''), repository, rows[0]?.owner ?? '');
}
