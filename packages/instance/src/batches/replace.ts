import { FumehoodError } from '@fumehood/base';
import { checkBatchSpec, parseBatchSpec } from '@fumehood/batch-spec';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { requireNamespace } from '../organisations/namespaces.ts';
import { batchSpecApplied, batchSpecOfClient, batchSpecRunning } from './errors.ts';
import { lockSpec } from './execution/control.ts';
import {
  type BatchSpecId,
  createBatchSpec,
  type NewBatchSpec,
  readBatchSpec,
  requireBatchSpec,
  wakeBatch,
} from './specs.ts';

/** Deletes a batch spec, with its workspaces and changeset specs. Errors: `batch_spec_not_found`, `batch_spec_running`, `batch_spec_applied`. */
export async function deleteBatchSpec(db: Db, person: Person, publicId: string): Promise<void> {
  await transaction(db, async (tx) => {
    const { id } = await lockUnused(tx, person, publicId);
    await sql`delete from batch_specs where id = ${id}`.execute(tx);
    wakeBatch(tx, { publicId }, false);
  });
}

/**
 * Gives a batch spec another text, as if it were new: it keeps its id, its namespace, its options and the files that its steps mount, and is of whoever
 * replaces it. Errors: `batch_spec_invalid`, with all places; `batch_spec_not_found`, `batch_spec_of_client`, `batch_spec_running`,
 * `batch_spec_applied`.
 */
export async function replaceBatchSpec(
  db: Db,
  person: Person,
  publicId: string,
  { text, ...spec }: Pick<NewBatchSpec, 'text' | 'allowIgnored' | 'allowUnsupported' | 'noCache'>,
): Promise<BatchSpecId> {
  const { name } = checkBatchSpec(text);
  return await transaction(db, async (tx) => {
    const { id, origin } = await lockUnused(tx, person, publicId);
    if (origin === 'client') throw batchSpecOfClient(publicId);
    await sql`delete from changeset_specs where spec_id = ${id}`.execute(tx);
    await sql`delete from batch_workspaces where spec_id = ${id}`.execute(tx);
    // Without its claim, whoever finds the workspaces of the text before stores none.
    await sql`
      update batch_specs set creator = ${person.name}, name = ${name}, text = ${text}, allow_ignored = ${spec.allowIgnored},
        allow_unsupported = ${spec.allowUnsupported}, no_cache = ${spec.noCache}, resolution = 'queued', resolution_failure = null,
        claim = null, claimed_until = null, executed_at = null, built_at = null, build_failure = null, created_at = clock_timestamp()
      where id = ${id}
    `.execute(tx);
    wakeBatch(tx, { publicId }, true);
    return { id, publicId };
  });
}

/**
 * Replaces the newest batch spec of this name that the person has made in the namespace for the same batch change, or creates one: if there is none, if it runs, and
 * if it was applied. Errors: `batch_spec_invalid`, with all places; `namespace_not_found`.
 */
export async function upsertBatchSpec(db: Db, person: Person, spec: NewBatchSpec): Promise<BatchSpecId> {
  const { name } = parseBatchSpec(spec.text);
  await requireNamespace(db, person, spec.namespace);
  const { rows } = await sql<{ publicId: string }>`
    select public_id as "publicId" from batch_specs
    where creator = ${person.name} and namespace = ${spec.namespace} and name = ${name} and origin = 'server'
      and batch_change_id is not distinct from ${spec.batchChangeId}
    order by id desc limit 1
  `.execute(db);
  try {
    if (rows[0]) return await replaceBatchSpec(db, person, rows[0].publicId, spec);
  } catch (error) {
    const isInUse = error instanceof FumehoodError && inUse.includes(error.code);
    if (!isInUse) throw error;
  }
  return await createBatchSpec({ db }, person, spec);
}

const inUse: readonly string[] = ['batch_spec_running', 'batch_spec_applied'];

/** Locks a batch spec of which nothing runs and nothing was applied, with its workspaces, so that none is started. */
async function lockUnused(
  tx: Db,
  person: Person,
  publicId: string,
): Promise<{ readonly id: number; readonly origin: NewBatchSpec['origin'] }> {
  const { id } = await requireBatchSpec(tx, person, publicId);
  const { origin, isApplied } = await lockSpec(tx, id);
  if (isApplied) throw batchSpecApplied(publicId);
  await sql`select from batch_workspaces where spec_id = ${id} for update`.execute(tx);
  const { state } = await readBatchSpec(tx, person, publicId);
  if (['queued', 'processing', 'canceling'].includes(state))
    throw batchSpecRunning(publicId, state, 'one that runs is neither deleted nor replaced');
  return { id, origin };
}
