import { collect } from '@fumehood/base';
import { type Changes, parseBatchSpec } from '@fumehood/batch-spec';
import { diffLimits } from '@fumehood/git';
import { sql } from 'kysely';
import type { BlobStore } from '../blobs/store.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { deriveChangesets } from './derive.ts';
import { hostedAmong } from './hosted.ts';
import { type NewChangesetSpec, requireOwnBranches, storeChangesetSpecs, storeDiff } from './store.ts';

export interface BuildDeps {
  readonly db: Db;
  readonly blobs: BlobStore;
}

interface Result {
  readonly workspaceId: number;
  readonly repository: string;
  readonly branch: string;
  readonly commit: string;
  readonly path: string;
  readonly fileMatches: string[];
  readonly diff: string;
  readonly changes: Changes;
  readonly outputs: Readonly<Record<string, unknown>>;
}

/**
 * Makes changeset specs of the results of a batch spec's workspaces, and says in its row that this is done. A workspace that has some already, and one that has
 * failed, gets none; a repetition makes no second ones. Nothing is made while a workspace has not ended. Errors: `template_invalid`,
 * `diff_invalid`, `diff_too_big`, `changeset_branch_invalid`, `changeset_branch_duplicate`.
 */
export async function buildChangesetSpecs({ db, blobs }: BuildDeps, specId: number): Promise<void> {
  const { rows: specs } = await sql<{ text: string; creator: string; executedAt: string | null }>`
    select text, creator, executed_at::text as "executedAt" from batch_specs
    where id = ${specId} and built_at is null and not exists (
      -- In the same statement as executed_at: whoever has workspaces run again changes both at once.
      select from batch_workspaces where spec_id = ${specId} and state in ('pending', 'queued', 'processing')
    )
  `.execute(db);
  if (!specs[0]) return;
  const { text, creator, executedAt } = specs[0];
  const spec = parseBatchSpec(text);
  const made: NewChangesetSpec[] = [];
  const results = await newResults(db, specId);
  const hosted = await hostedAmong(db, [...new Set(results.map((one) => one.repository))]);
  for (const result of results) {
    const diff = await readDiffBlob(blobs, result.diff);
    const { repository, workspaceId } = result;
    for (const changeset of deriveChangesets(spec, creator, {
      ...result,
      diff,
      isHosted: hosted.has(repository),
    }))
      made.push({
        ...changeset,
        ...{ kind: 'branch', creator, specId, workspaceId, repository },
        ...{
          baseRef: result.branch,
          baseCommit: result.commit,
          diff: await storeDiff(blobs, changeset.diff),
        },
      });
  }
  const imported = (spec.importChangesets ?? []).flatMap(({ repository, externalIDs = [] }) =>
    externalIDs.map(
      (externalId) =>
        ({ kind: 'existing', creator, specId, workspaceId: null, repository, externalId }) as const,
    ),
  );
  await transaction(db, async (tx) => {
    const { rows } = await sql`
      update batch_specs set built_at = clock_timestamp()
      where id = ${specId} and built_at is null and executed_at is not distinct from ${executedAt}::timestamptz returning 1
    `.execute(tx);
    if (rows.length === 0) return; // it is built, or its workspaces run again
    await sql`delete from changeset_specs where spec_id = ${specId} and kind = 'existing'`.execute(tx);
    await storeChangesetSpecs(tx, [...made, ...imported]);
    await requireOwnBranches(tx, specId);
  });
}

/** Returns the last results of those workspaces that are complete and have no changeset specs. */
async function newResults(db: Db, specId: number): Promise<Result[]> {
  const { rows } = await sql<Result>`
    select workspace.id as "workspaceId", repository, branch, commit, path, file_matches as "fileMatches", diff, changes, outputs
    from batch_workspaces workspace, lateral (
      select result_id from batch_workspace_steps where workspace_id = workspace.id and result_id is not null order by step desc limit 1
    ) as last join batch_step_results result on result.id = last.result_id
    where workspace.spec_id = ${specId} and state = 'completed' and diff_bytes > 0
      and not exists (select from changeset_specs made where made.workspace_id = workspace.id)
    order by position
  `.execute(db);
  return rows;
}

/** Reads the diff of a result or of a changeset spec. Errors: `blob_not_found`. */
export async function readDiffBlob(blobs: BlobStore, digest: string): Promise<Buffer> {
  await blobs.size(digest);
  return await collect(blobs.read(digest), diffLimits.bytes);
}
