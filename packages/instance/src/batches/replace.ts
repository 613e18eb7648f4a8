import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { batchSpecApplied, batchSpecRunning } from './errors.ts';
import { lockSpec } from './execution/control.ts';
import { readBatchSpec, requireBatchSpec, wakeBatch } from './specs.ts';

/** Deletes a batch spec, with its workspaces and changeset specs. Errors: `batch_spec_not_found`, `batch_spec_running`, `batch_spec_applied`. */
export async function deleteBatchSpec(db: Db, person: Person, publicId: string): Promise<void> {
  await transaction(db, async (tx) => {
    const id = await lockUnused(tx, person, publicId);
    await sql`delete from batch_specs where id = ${id}`.execute(tx);
    wakeBatch(tx, { publicId }, false);
  });
}

/** Locks a batch spec of which nothing runs and nothing was applied, with its workspaces, so that none is started. Returns its number. */
async function lockUnused(tx: Db, person: Person, publicId: string): Promise<number> {
  const { id } = await requireBatchSpec(tx, person, publicId);
  const { isApplied } = await lockSpec(tx, id);
  if (isApplied) throw batchSpecApplied(publicId);
  await sql`select from batch_workspaces where spec_id = ${id} for update`.execute(tx);
  const { state } = await readBatchSpec(tx, person, publicId);
  if (['queued', 'processing', 'canceling'].includes(state))
    throw batchSpecRunning(publicId, state, 'one that runs is neither deleted nor replaced');
  return id;
}
