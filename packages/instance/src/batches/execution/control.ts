import { parseBatchSpec } from '@fumehood/batch-spec';
import { FumehoodError } from '@fumehood/base';
import { sql } from 'kysely';
import type { Person } from '../../auth/people.ts';
import type { Db } from '../../db/connect.ts';
import { transaction } from '../../db/transaction.ts';
import type { QueueKinds } from '../../queue/kind.ts';
import { cancel } from '../../queue/queue.ts';
import {
  batchSpecApplied,
  batchSpecExecuted,
  batchSpecOfClient,
  batchSpecRunning,
  batchWorkspaceRunning,
} from '../errors.ts';
import { listBatchFiles } from '../files.ts';
import { type BatchSpecId, readBatchSpec, requireBatchSpec, wakeBatch } from '../specs.ts';
import { requireWorkspace } from '../workspaces.ts';
import { checkFiles } from './mounts.ts';

interface ControlDeps {
  readonly db: Db;
  readonly kinds: QueueKinds;
}

/**
 * Has the workspaces of a batch spec run: at once, or when they are known. `noCache`: runs every step, also where there is a result of an
 * earlier one; missing: as the batch spec says. Errors: `batch_spec_not_found`, `batch_spec_of_client`, `batch_spec_executed`,
 * `batch_mount_missing`, `batch_step_invalid`.
 */
export async function executeBatchSpec(
  { db }: Pick<ControlDeps, 'db'>,
  person: Person,
  publicId: string,
  { noCache }: { readonly noCache?: boolean | undefined },
): Promise<void> {
  const { id } = await requireBatchSpec(db, person, publicId);
  const sent = await listBatchFiles(db, person, publicId);
  await transaction(db, async (tx) => {
    const { text, origin, isExecuted } = await lockSpec(tx, id);
    if (origin === 'client') throw batchSpecOfClient(publicId);
    const { rows: held } = await sql`
      update batch_workspaces set held = false where spec_id = ${id} and held returning 1
    `.execute(tx);
    if (isExecuted && held.length === 0) throw batchSpecExecuted(publicId);
    checkFiles(parseBatchSpec(text).steps ?? [], sent);
    await sql`
      update batch_specs set executed_at = clock_timestamp(), no_cache = coalesce(${noCache ?? null}::boolean, no_cache) where id = ${id}
    `.execute(tx);
    wakeBatch(tx, { publicId }, true);
  });
}

/**
 * Has some workspaces of batch specs run that are not executed yet: the others wait until somebody asks for them or for the whole batch spec. One that
 * has run stays as it is. Errors: `batch_workspace_not_found`, `batch_spec_of_client`, `batch_mount_missing`, `batch_step_invalid`; none runs then.
 */
export async function executeWorkspaces(
  { db }: Pick<ControlDeps, 'db'>,
  person: Person,
  publicIds: readonly string[],
): Promise<void> {
  const found = await workspacesBySpec(db, person, publicIds);
  await transaction(db, async (tx) => {
    for (const [publicId, ids] of found) {
      const { id } = await requireBatchSpec(tx, person, publicId);
      const { text, origin, isExecuted } = await lockSpec(tx, id);
      if (origin === 'client') throw batchSpecOfClient(publicId);
      if (!isExecuted) {
        checkFiles(parseBatchSpec(text).steps ?? [], await listBatchFiles(tx, person, publicId));
        await sql`update batch_workspaces set held = true where spec_id = ${id} and state = 'pending'`.execute(
          tx,
        );
        await sql`update batch_specs set executed_at = clock_timestamp() where id = ${id}`.execute(tx);
      }
      await sql`update batch_workspaces set held = false where id = any(${ids}::bigint[])`.execute(tx);
      wakeBatch(tx, { publicId }, true);
    }
  });
}

/**
 * Cancels all workspaces of a batch spec that have not ended. One whose workspaces are not known yet is not executed when they are. Errors:
 * `batch_spec_not_found`.
 */
export async function cancelBatchSpec(deps: ControlDeps, person: Person, publicId: string): Promise<void> {
  const { id } = await requireBatchSpec(deps.db, person, publicId);
  await sql`
    update batch_specs set executed_at = null where id = ${id} and resolution in ('queued', 'processing')
  `.execute(deps.db);
  await cancelWhere(deps, sql`spec_id = ${id}`);
  wakeBatch(deps.db, { publicId }, true);
}

/** Cancels workspaces that have not ended. Errors: `batch_workspace_not_found`, and then none is canceled. */
export async function cancelWorkspaces(
  deps: ControlDeps,
  person: Person,
  publicIds: readonly string[],
): Promise<void> {
  const found = await workspacesBySpec(deps.db, person, publicIds);
  await cancelWhere(deps, sql`id = any(${[...found.values()].flat()}::bigint[])`);
  for (const publicId of found.keys()) wakeBatch(deps.db, { publicId }, true);
}

async function cancelWhere({ db, kinds }: ControlDeps, condition: ReturnType<typeof sql>): Promise<void> {
  // This waits for one that is just being started, which then has a job.
  await sql`
    update batch_workspaces set state = 'canceled', held = false, finished_at = clock_timestamp() where ${condition} and state = 'pending'
  `.execute(db);
  const { rows } = await sql<{ jobId: number }>`
    select job_id as "jobId" from batch_workspaces
    where ${condition} and state in ('queued', 'processing') and job_id is not null order by id
  `.execute(db);
  for (const { jobId } of rows)
    await cancel(db, kinds, jobId).catch((error: unknown) => {
      // It has just ended by itself.
      if (!(error instanceof FumehoodError && ['job_ended', 'job_not_found'].includes(error.code)))
        throw error;
    });
}

/**
 * Runs the workspaces of a batch spec again that have failed or were canceled; `includeCompleted`: also those that are complete. Steps with a
 * result do not run again, unless the batch spec uses no results. Errors: `batch_spec_not_found`, `batch_spec_of_client`,
 * `batch_spec_running`, `batch_spec_applied`.
 */
export async function retryBatchSpec(
  { db }: Pick<ControlDeps, 'db'>,
  person: Person,
  publicId: string,
  { includeCompleted }: { readonly includeCompleted: boolean },
): Promise<void> {
  const spec = await requireBatchSpec(db, person, publicId);
  const states = includeCompleted ? ['failed', 'canceled', 'completed'] : ['failed', 'canceled'];
  await transaction(db, async (tx) => {
    await lockForRetry(tx, spec);
    const { state } = await readBatchSpec(tx, person, publicId);
    if (!['completed', 'failed', 'canceled'].includes(state))
      throw batchSpecRunning(publicId, state, 'only one that has ended is retried');
    await reset(tx, spec, sql`spec_id = ${spec.id} and state = any(${states}::text[])`);
  });
}

/**
 * Runs workspaces again that have ended. Errors: `batch_workspace_not_found`, `batch_workspace_running`, `batch_spec_of_client`,
 * `batch_spec_applied`; none runs then.
 */
export async function retryWorkspaces(
  { db }: Pick<ControlDeps, 'db'>,
  person: Person,
  publicIds: readonly string[],
): Promise<void> {
  const found = await workspacesBySpec(db, person, publicIds);
  await transaction(db, async (tx) => {
    for (const [publicId, ids] of found) {
      const spec = await requireBatchSpec(tx, person, publicId);
      await lockForRetry(tx, spec);
      const { rows } = await sql<{ publicId: string; state: string }>`
        select public_id as "publicId", state from batch_workspaces
        where id = any(${ids}::bigint[]) and state not in ('failed', 'canceled', 'completed') limit 1
      `.execute(tx);
      if (rows[0]) throw batchWorkspaceRunning(rows[0].publicId, rows[0].state);
      await reset(tx, spec, sql`id = any(${ids}::bigint[])`);
    }
  });
}

/**
 * Returns the ids of workspaces by the public ids of their batch specs, in the order in which these are locked: two requests that name
 * the same ones in another order do not wait for each other. Errors: `batch_workspace_not_found`.
 */
async function workspacesBySpec(
  db: Db,
  person: Person,
  publicIds: readonly string[],
): Promise<Map<string, number[]>> {
  const bySpec = new Map<string, number[]>();
  const found = await Promise.all(publicIds.map((one) => requireWorkspace(db, person, one)));
  for (const { spec, id } of found) {
    const ids = bySpec.get(spec);
    if (ids) ids.push(id);
    else bySpec.set(spec, [id]);
  }
  return new Map([...bySpec].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Locks a batch spec, so that nobody makes changeset specs of its results. */
export async function lockSpec(
  tx: Db,
  id: number,
): Promise<{
  readonly text: string;
  readonly origin: 'server' | 'client';
  readonly isExecuted: boolean;
  readonly isApplied: boolean;
}> {
  const { rows } = await sql<Awaited<ReturnType<typeof lockSpec>>>`
    select text, origin, executed_at is not null as "isExecuted",
      exists (select from batch_changes where spec_id = batch_specs.id) or exists (
        select from changesets join changeset_specs on changeset_specs.id in (changesets.spec_id, reconciled_spec_id)
        where changeset_specs.spec_id = batch_specs.id
      ) as "isApplied"
    from batch_specs where id = ${id} for update
  `.execute(tx);
  return rows[0] as Awaited<ReturnType<typeof lockSpec>>;
}

async function lockForRetry(tx: Db, { id, publicId }: BatchSpecId): Promise<void> {
  const { origin, isApplied } = await lockSpec(tx, id);
  if (origin === 'client') throw batchSpecOfClient(publicId);
  if (isApplied) throw batchSpecApplied(publicId);
}

/** Has workspaces started again, as if they had not run, and forgets the changeset specs of their batch spec. */
async function reset(
  tx: Db,
  { id, publicId }: BatchSpecId,
  condition: ReturnType<typeof sql>,
): Promise<void> {
  await sql`delete from changeset_specs where spec_id = ${id}`.execute(tx);
  await sql`
    update batch_specs set built_at = null, build_failure = null, executed_at = clock_timestamp() where id = ${id}
  `.execute(tx);
  await sql`
    with again as (
      update batch_workspaces set state = 'pending', job_id = null, reason = null, queued_at = null, started_at = null, finished_at = null
      where ${condition} returning id
    )
    delete from batch_workspace_steps using again where workspace_id = again.id
  `.execute(tx);
  wakeBatch(tx, { publicId }, true);
}
