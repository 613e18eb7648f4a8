import { type BatchSpec, parseBatchSpec, type Step, type StepInputs } from '@fumehood/batch-spec';
import type { BatchOptions } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { secretsOf } from '../../secrets/secrets.ts';
import type { Vault } from '../../secrets/vault.ts';
import type { SentFile } from './mounts.ts';

/** A workspace with all that its steps depend on. */
export interface Run {
  readonly workspaceId: number;
  readonly repository: string;
  readonly branch: string;
  readonly commit: string;
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  readonly fileMatches: readonly string[];
  readonly skippedSteps: readonly number[];
  /** The public id of the batch spec. */
  readonly publicId: string;
  readonly creator: string;
  readonly namespace: string;
  readonly noCache: boolean;
  readonly options: BatchOptions;
  readonly spec: BatchSpec;
  readonly steps: readonly Step[];
  readonly files: readonly SentFile[];
}

/** Reads a workspace with its batch spec: by its own number, or by that of the job of its latest execution. Null: there is none. */
export async function readRun(
  db: Db,
  by: { readonly workspaceId: number } | { readonly jobId: number },
): Promise<Run | null> {
  const condition =
    'jobId' in by ? sql`workspace.job_id = ${by.jobId}` : sql`workspace.id = ${by.workspaceId}`;
  const { rows } = await sql<Omit<Run, 'spec' | 'steps'> & { text: string }>`
    select workspace.id as "workspaceId", repository, branch, commit, path, only_fetch_workspace as "onlyFetchWorkspace",
      file_matches as "fileMatches", skipped_steps as "skippedSteps", spec.public_id as "publicId", creator, namespace,
      no_cache as "noCache", options, text, (
        select coalesce(jsonb_agg(jsonb_build_object('path', file.path, 'digest', digest, 'bytes', bytes) order by file.path), '[]')
        from batch_files file where file.spec_id = spec.id
      ) as files
    from batch_workspaces workspace join batch_specs spec on spec.id = spec_id
    where ${condition}
  `.execute(db);
  if (!rows[0]) return null;
  const { text, ...run } = rows[0];
  const spec = parseBatchSpec(text);
  return { ...run, spec, steps: spec.steps ?? [] };
}

/** Returns the values of the names that steps take from outside: secrets of the namespace, and for others those of the instance. */
export async function outerValues(
  db: Db,
  vault: Vault,
  { namespace, steps }: Pick<Run, 'namespace' | 'steps'>,
): Promise<ReadonlyMap<string, string>> {
  const names = steps.flatMap(({ env }) =>
    Array.isArray(env) ? env.filter((one) => typeof one === 'string') : [],
  );
  return await secretsOf(db, vault, namespace, [...new Set(names)]);
}

/** Returns what the keys of the results of a workspace are made of. */
export function stepInputs(run: Run, outer: ReadonlyMap<string, string>): StepInputs {
  const { name, description = '' } = run.spec;
  return {
    repository: {
      id: run.repository,
      name: run.repository,
      baseRef: run.branch,
      baseRev: run.commit,
      fileMatches: run.fileMatches,
    },
    path: run.path,
    onlyFetchWorkspace: run.onlyFetchWorkspace,
    batchChange: { name, description },
    steps: run.steps,
    outer: Object.fromEntries(outer),
    // Not its time, but its bytes are what a step depends on.
    mounts: run.files.map(({ path, bytes, digest }) => ({ path, size: bytes, modified: digest })),
  };
}
