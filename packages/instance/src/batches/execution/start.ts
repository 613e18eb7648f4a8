import { cacheKey } from '@fumehood/batch-spec';
import { FumehoodError } from '@fumehood/base';
import { wholeBatchOptionsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { ZodError } from 'zod';
import type { BlobStore } from '../../blobs/store.ts';
import type { Db } from '../../db/connect.ts';
import { transaction } from '../../db/transaction.ts';
import { blobNotFound, commitNotFound } from '../../errors.ts';
import { type BatchJob, newBatchJob } from '../../kinds/batches.ts';
import { isArchive } from '../../kinds/image.ts';
import { enqueue } from '../../queue/queue.ts';
import { requireBroker } from '../../secrets/broker.ts';
import type { Vault } from '../../secrets/vault.ts';
import { stepInvalid } from '../errors.ts';
import { readBatchSettings } from '../settings.ts';
import { wakeBatch } from '../specs.ts';
import { imagesOf } from './context.ts';
import { isForUpstream } from './exec.ts';
import { checkFiles } from './mounts.ts';
import { findResults, type StepRow, storeStep } from './results.ts';
import { outerValues, readRun, type Run, stepInputs } from './run.ts';

export interface StartDeps {
  readonly db: Db;
  readonly vault: Vault;
  readonly blobs: Pick<BlobStore, 'has'>;
  /** Makes a commit ready for the executor that gets a job for it. Returns false if the instance does not have it. */
  readonly provideCommit: (repository: string, commit: string) => Promise<boolean>;
}

/** How often an error that may pass, of the machinery and not of a step, is retried. */
const retriesMax = 2;
/** A workspace that cannot be started now, such as one for whose job the queue has no room, is tried again after this time, seconds. */
const postponedSeconds = 15;

/**
 * Starts one workspace of a batch spec that is executed: with the results of steps that there are already; for the other steps it makes a job.
 * What makes that impossible is the workspace's failure. Returns false if no workspace is to be started now.
 */
export async function startNext(deps: StartDeps): Promise<boolean> {
  const { db } = deps;
  const { rows } = await sql<{ id: number }>`
    select workspace.id from batch_workspaces workspace join batch_specs spec on spec.id = spec_id
    where workspace.state = 'pending' and executed_at is not null and not held
      and (queued_at is null or queued_at < clock_timestamp() - make_interval(secs => ${postponedSeconds}))
    order by workspace.id limit 1
  `.execute(db);
  const [pending] = rows;
  if (!pending) return false;
  try {
    await start(deps, pending.id);
  } catch (error) {
    if (!(error instanceof FumehoodError) || error.code === 'too_many_queued') await postpone(db, pending.id);
    else await fail(db, pending.id, error.message);
    if (!(error instanceof FumehoodError)) throw error;
  }
  return true;
}

async function start(deps: StartDeps, workspaceId: number): Promise<void> {
  const { db, vault } = deps;
  const run = await readRun(db, { workspaceId });
  if (run === null) return;
  checkFiles(run.steps, run.files);
  const outer = await outerValues(db, vault, run);
  const cached = run.noCache ? [] : await cachedSteps(deps, run, outer);
  const isComplete = cached.length === run.steps.length;
  const job = isComplete ? null : await makeJob(deps, run);
  await transaction(db, async (tx) => {
    const { rows } = await sql`
      select from batch_workspaces where id = ${workspaceId} and state = 'pending' for update
    `.execute(tx);
    if (rows.length === 0) return; // it was canceled, or another replica has started it
    for (const row of cached) await storeStep(tx, workspaceId, row);
    const submission = {
      ...{ tenant: run.creator, priority: 0, processAfter: null },
      ...{ retryPauseMs: 5_000, idempotency: null },
    };
    const made = job && (await enqueue(tx, 'batches', newBatchJob(job), submission));
    await sql`
      update batch_workspaces set state = ${isComplete ? 'completed' : 'queued'}, job_id = ${made?.id ?? null}, reason = null,
        queued_at = clock_timestamp(), started_at = null, finished_at = case when ${isComplete} then clock_timestamp() end
      where id = ${workspaceId}
    `.execute(tx);
    wakeBatch(tx, run, true);
  });
}

/** Returns the first steps that need not run: those that are skipped whatever happens, and those with a result whose diff is there. */
async function cachedSteps(
  { db, blobs }: StartDeps,
  run: Run,
  outer: ReadonlyMap<string, string>,
): Promise<StepRow[]> {
  const inputs = stepInputs(run, outer);
  const keys = run.steps.map((_, step) => cacheKey(inputs, step));
  const results = await findResults(db, run.creator, keys);
  const cached: StepRow[] = [];
  for (const [step, key] of keys.entries()) {
    if (run.skippedSteps.includes(step)) {
      cached.push({ step, state: 'skipped', resultId: null });
      continue;
    }
    const result = results.get(key);
    if (!result || (result.diffBytes > 0 && !(await blobs.has(result.diff)))) break;
    cached.push({ step, state: result.skipped ? 'skipped' : 'cached', resultId: result.id });
  }
  return cached;
}

/** Returns the job of a workspace. */
async function makeJob({ db, blobs, provideCommit }: StartDeps, run: Run): Promise<BatchJob> {
  const { repository, commit, path, onlyFetchWorkspace } = run;
  const options = wholeBatchOptionsSchema.parse({ ...(await readBatchSettings(db)).options, ...run.options });
  await requireBroker(db, { queue: 'batches', repository }, options.broker);
  const images = imagesOf(run);
  const exec = isForUpstream(run, options);
  const workspace = { repository, commit, path, onlyFetchWorkspace };
  const job = { ...options, ...workspace, images, exec, maxRetries: retriesMax };
  try {
    newBatchJob(job);
  } catch (error) {
    if (!(error instanceof ZodError)) throw error;
    const [issue] = error.issues;
    throw stepInvalid(Number(issue?.path[1] ?? 0), `its container image: ${issue?.message}`);
  }
  for (const image of images) if (isArchive(image) && !(await blobs.has(image))) throw blobNotFound(image);
  if (!(await provideCommit(repository, commit))) throw commitNotFound(repository, commit);
  return job;
}

async function postpone(db: Db, id: number): Promise<void> {
  await sql`update batch_workspaces set queued_at = clock_timestamp() where id = ${id} and state = 'pending'`.execute(
    db,
  );
}

/** Stores why a workspace cannot be started. */
async function fail(db: Db, id: number, reason: string): Promise<void> {
  const { rows } = await sql<{ publicId: string }>`
    update batch_workspaces set state = 'failed', reason = ${reason.slice(0, 2_000)}, finished_at = clock_timestamp()
    from batch_specs spec where batch_workspaces.id = ${id} and state = 'pending' and spec.id = spec_id
    returning spec.public_id as "publicId"
  `.execute(db);
  if (rows[0]) wakeBatch(db, rows[0], true);
}
