import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { Workspace } from './workspaces.ts';

/** How long the claim of a replica lasts without being renewed, seconds. */
export const claimSeconds = 60;

/** A batch spec whose workspaces this replica finds. */
export interface ClaimedSpec {
  readonly id: number;
  readonly publicId: string;
  readonly text: string;
  readonly claim: string;
}

/** Claims a batch spec whose workspaces are not known; null if there is none. */
export async function claimUnresolved(db: Db): Promise<ClaimedSpec | null> {
  const { rows } = await sql<ClaimedSpec>`
    update batch_specs set resolution = 'processing', claim = gen_random_uuid(),
      claimed_until = clock_timestamp() + make_interval(secs => ${claimSeconds})
    where id = (
      select id from batch_specs
      -- A claim that ran out is that of a replica that has died.
      where origin = 'server' and resolution in ('queued', 'processing')
        and (claimed_until is null or claimed_until < clock_timestamp())
      order by id limit 1 for update skip locked
    )
    returning id, public_id as "publicId", text, claim
  `.execute(db);
  return rows[0] ?? null;
}

/** Renews a claim. Returns false if it is lost. */
export async function renewSpecClaim(db: Db, { id, claim }: ClaimedSpec): Promise<boolean> {
  const { rows } = await sql`
    update batch_specs set claimed_until = clock_timestamp() + make_interval(secs => ${claimSeconds})
    where id = ${id} and claim = ${claim} returning 1
  `.execute(db);
  return rows.length > 0;
}

/** Stores the workspaces of a batch spec, and ends the claim. Stores nothing if the claim is lost. */
export async function storeWorkspaces(
  tx: Db,
  { id, claim }: ClaimedSpec,
  workspaces: readonly Workspace[],
  stepCount: number,
): Promise<void> {
  const { rows } = await sql`
    update batch_specs set resolution = 'completed', claim = null, claimed_until = null
    where id = ${id} and claim = ${claim} returning 1
  `.execute(tx);
  if (rows.length === 0) return;
  await sql`
    insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches, ignored,
      unsupported, step_count, skipped_steps, state, reason)
    select ${id}, position, repository, branch, commit, path, "onlyFetchWorkspace",
      array(select jsonb_array_elements_text("fileMatches")), ignored, unsupported, ${stepCount},
      array(select jsonb_array_elements_text("skippedSteps")::integer),
      case when reason is null then 'pending' else 'skipped' end, reason
    from rows from (jsonb_to_recordset(${JSON.stringify(workspaces)}::jsonb) as (
      repository text, branch text, commit text, path text, "onlyFetchWorkspace" boolean, "fileMatches" jsonb,
      ignored boolean, unsupported boolean, "skippedSteps" jsonb
    )) with ordinality as workspace (repository, branch, commit, path, "onlyFetchWorkspace", "fileMatches", ignored, unsupported,
      "skippedSteps", position),
    lateral (
      select case when ignored and not allow_ignored then 'the repository has a .batchignore'
        when unsupported and not allow_unsupported then 'nothing can be pushed to where the repository comes from' end as reason
      from batch_specs where id = ${id}
    ) as allowed
  `.execute(tx);
}

/** Has the workspaces of a batch spec found some seconds later, by any replica. */
export async function postponeResolution(db: Db, { id, claim }: ClaimedSpec): Promise<void> {
  await sql`
    update batch_specs set claimed_until = clock_timestamp() + interval '5 seconds' where id = ${id} and claim = ${claim}
  `.execute(db);
}

/** Stores why the workspaces of a batch spec cannot be found, and ends the claim. */
export async function failResolution(db: Db, { id, claim }: ClaimedSpec, failure: string): Promise<void> {
  await sql`
    update batch_specs set resolution = 'failed', resolution_failure = ${failure.slice(0, 2_000)}, claim = null, claimed_until = null
    where id = ${id} and claim = ${claim}
  `.execute(db);
}
