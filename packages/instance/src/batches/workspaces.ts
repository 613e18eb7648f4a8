import { text } from 'node:stream/consumers';
import {
  shownDiffBytesMax,
  type WorkspaceDetail,
  type WorkspacePage,
  type WorkspaceRecord,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Db } from '../db/connect.ts';
import { visibleNamespaces } from '../organisations/namespaces.ts';
import { batchWorkspaceNotFound } from './errors.ts';
import { requireBatchSpec } from './specs.ts';

/** Which workspaces of a batch spec are listed. */
interface WorkspaceFilter {
  /** Null: all states. */
  readonly state: WorkspaceRecord['state'] | null;
  /** The `next` of the page before; 0 for the first page. */
  readonly after: number;
  readonly limit: number;
}

/** The numbers of paths of all kinds in the changes of a result. */
const files = sql`(select sum(jsonb_array_length(paths.value)) from jsonb_each(changes) as paths)::int`;
const stepFields = sql`'step', step.step, 'state', step.state, 'startedAt', iso(step.started_at), 'finishedAt', iso(step.finished_at),
  'stat', case when result.id is not null then jsonb_build_object(
    'files', ${files}, 'addedLines', added_lines, 'deletedLines', deleted_lines) end`;
const steps = sql`(
  select coalesce(jsonb_agg(jsonb_build_object(${stepFields}) order by step.step), '[]')
  from batch_workspace_steps step left join batch_step_results result on result.id = result_id
  where workspace_id = workspace.id
)`;
/** The columns of `WorkspaceRecord`, of a row `workspace`. */
export const workspaceRecord = sql`
  workspace.public_id as id, repository, branch, commit, path, only_fetch_workspace as "onlyFetchWorkspace", ignored, unsupported, state, reason,
  job_id as "jobId", step_count as "stepCount", ${steps} as steps, iso(queued_at) as "queuedAt",
  iso(started_at) as "startedAt", iso(finished_at) as "finishedAt"
`;

/** Returns a page of the workspaces of a batch spec, by repository, directory and branch. Errors: `batch_spec_not_found`. */
export async function listWorkspaces(
  db: Db,
  person: Person,
  spec: string,
  { state, after, limit }: WorkspaceFilter,
): Promise<WorkspacePage> {
  const { id } = await requireBatchSpec(db, person, spec);
  const { rows } = await sql<{ position: number; workspace: WorkspaceRecord }>`
    select position, to_jsonb(record) as workspace from batch_workspaces workspace, lateral (select ${workspaceRecord}) as record
    where spec_id = ${id} and position > ${after} and (${state}::text is null or workspace.state = ${state})
    order by position limit ${limit + 1}
  `.execute(db);
  const page = rows.slice(0, limit);
  const next = rows.length > limit ? (page.at(-1)?.position ?? null) : null;
  return { workspaces: page.map(({ workspace }) => workspace), next };
}

/** How a workspace is known to the database, with the public id of its batch spec. */
export interface WorkspaceId {
  readonly id: number;
  readonly spec: string;
}

/** Returns the numbers of a workspace that a person may see. Errors: `batch_workspace_not_found`. */
export async function requireWorkspace(db: Db, person: Person, publicId: string): Promise<WorkspaceId> {
  const namespaces = await visibleNamespaces(db, person);
  const { rows } = await sql<WorkspaceId>`
    select workspace.id, spec.public_id as spec from batch_workspaces workspace join batch_specs spec on spec.id = spec_id
    where workspace.public_id = ${publicId} and (${namespaces}::text[] is null or namespace = any(${namespaces}::text[]))
  `.execute(db);
  if (!rows[0]) throw batchWorkspaceNotFound(publicId);
  return rows[0];
}

/** Returns a workspace, with the public id of its batch spec. Errors: `batch_workspace_not_found`. */
export async function findWorkspace(
  db: Db,
  person: Person,
  publicId: string,
): Promise<{ readonly spec: string; readonly workspace: WorkspaceRecord }> {
  const { id, spec } = await requireWorkspace(db, person, publicId);
  const { rows } = await sql<WorkspaceRecord>`
    select ${workspaceRecord} from batch_workspaces workspace where id = ${id}
  `.execute(db);
  if (!rows[0]) throw batchWorkspaceNotFound(publicId);
  return { spec, workspace: rows[0] };
}

/** What a workspace has to do with others. */
export interface WorkspaceTies {
  readonly fileMatches: readonly string[];
  /** The public ids of the changeset specs that are made of its result. */
  readonly changesetSpecs: readonly string[];
  /** The executor of the latest attempt at it; null: there was none. */
  readonly executor: string | null;
}

/** Returns the ties of workspaces, by their public ids. */
export async function readTies(
  db: Db,
  publicIds: readonly string[],
): Promise<ReadonlyMap<string, WorkspaceTies>> {
  const { rows } = await sql<WorkspaceTies & { id: string }>`
    select public_id as id, file_matches as "fileMatches",
      array(select public_id from changeset_specs where workspace_id = workspace.id order by id) as "changesetSpecs",
      (select executor from attempts where attempts.job_id = workspace.job_id order by attempt desc limit 1) as executor
    from batch_workspaces workspace where public_id = any(${publicIds}::text[])
  `.execute(db);
  return new Map(rows.map(({ id, ...ties }) => [id, ties]));
}

/** What a workspace has done, but for the diff, of which the digest is there; null: there is none. */
export type StoredWorkspaceDetail = Omit<WorkspaceDetail, 'diff'> & { readonly diffDigest: string | null };

/** Returns a workspace with what its steps have written. Errors: `batch_workspace_not_found`. */
export async function readWorkspace(
  db: Db,
  person: Person,
  publicId: string,
): Promise<StoredWorkspaceDetail> {
  const { id } = await requireWorkspace(db, person, publicId);
  const { rows } = await sql<StoredWorkspaceDetail>`
    select ${workspaceRecord}, (
      select coalesce(jsonb_agg(jsonb_build_object(${stepFields}, 'stdout', coalesce(stdout, ''), 'stderr', coalesce(stderr, ''),
        'outputs', coalesce(outputs, '{}')) order by step.step), '[]')
      from batch_workspace_steps step left join batch_step_results result on result.id = result_id
      where workspace_id = workspace.id
    ) as steps, (
      select diff from batch_workspace_steps step join batch_step_results result on result.id = result_id
      where workspace_id = workspace.id order by step.step desc limit 1
    ) as "diffDigest"
    from batch_workspaces workspace where id = ${id}
  `.execute(db);
  if (!rows[0]) throw batchWorkspaceNotFound(publicId);
  return rows[0];
}

/** Returns the digest of the diff of a step of a workspace, by its public id; null: the step has no result. */
export async function stepDiffDigest(db: Db, publicId: string, step: number): Promise<string | null> {
  const { rows } = await sql<{ diff: string }>`
    select diff from batch_workspace_steps step join batch_step_results result on result.id = result_id
      join batch_workspaces workspace on workspace.id = workspace_id
    where workspace.public_id = ${publicId} and step.step = ${step}
  `.execute(db);
  return rows[0]?.diff ?? null;
}

/** Returns a diff that people are shown; null: there is none, or it is large. */
export async function readShownDiff(blobs: BlobStore, digest: string | null): Promise<string | null> {
  if (digest === null || (await blobs.size(digest)) > shownDiffBytesMax) return null;
  return await text(blobs.read(digest));
}
