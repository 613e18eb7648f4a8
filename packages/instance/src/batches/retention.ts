import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** Days for which a batch spec is kept that no batch change has, and results of steps that no workspace has. */
const unappliedDays = 7;
const resultDays = 30;

/**
 * Removes batch specs that no batch change has and of which nothing runs, changeset specs that no batch spec and no changeset has, and results of
 * steps that no workspace has, once they are old enough. Returns how many batch specs.
 */
export async function removeOldBatchSpecs(db: Db): Promise<number> {
  const isUsed = sql`exists (
    select from changesets where changeset_specs.id in (changesets.spec_id, changesets.reconciled_spec_id)
  )`;
  const before = (days: number) => sql`clock_timestamp() - make_interval(days => ${days})`;
  const { rows } = await sql`
    delete from batch_specs where created_at < ${before(unappliedDays)}
      and not exists (select from batch_changes where batch_changes.spec_id = batch_specs.id)
      and not exists (select from changeset_specs where changeset_specs.spec_id = batch_specs.id and ${isUsed})
      and not exists (
        select from batch_workspaces workspace where workspace.spec_id = batch_specs.id and workspace.state in ('queued', 'processing')
      )
    returning 1
  `.execute(db);
  await sql`
    delete from changeset_specs where spec_id is null and created_at < ${before(unappliedDays)} and not ${isUsed}
  `.execute(db);
  await sql`
    delete from batch_step_results result where created_at < ${before(resultDays)}
      and not exists (select from batch_workspace_steps where result_id = result.id)
  `.execute(db);
  return rows.length;
}

/**
 * Returns the blobs that batch specs have: diffs of results and of changesets, and files that steps mount. A diff that an executor has sent and not
 * reported yet has its row in `batch_step_diffs` for as long as its job is there, however long the job runs. Only from the moment at which the blob
 * is stored until its row is, a fraction of a second, does it rest on the grace of `removeUnused`.
 */
export async function batchDigests(db: Db): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`
    select diff as digest from batch_step_results
    union select digest from batch_step_diffs
    union select digest from batch_files
    union select diff from changeset_specs where diff is not null
  `.execute(db);
  return rows.map(({ digest }) => digest);
}
