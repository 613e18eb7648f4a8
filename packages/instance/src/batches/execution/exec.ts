import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { FumehoodError } from '@fumehood/base';
import type { wholeBatchOptionsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type * as z from 'zod';
import type { BlobStore } from '../../blobs/store.ts';
import type { Db } from '../../db/connect.ts';
import type { BatchExec } from '../../kinds/batch-exec.ts';
import { isArchive } from '../../kinds/image.ts';
import type { KindStores } from '../../kinds/stores.ts';
import type { Vault } from '../../secrets/vault.ts';
import { batchWorkspaceNotFound } from '../errors.ts';
import { readBatchSettings } from '../settings.ts';
import { imagesOf } from './context.ts';
import { factsOfDiff } from './diff-facts.ts';
import { firstToRun, lastResults, readSteps, storeResult, storeSkipped, storeStep } from './results.ts';
import { outerValues, readRun, type Run } from './run.ts';

/** Bytes of the largest diff that an executor of upstream's kind gets as what steps have left before; with a larger one it runs them again. */
const cachedDiffMax = 8 * 2 ** 20;

/**
 * Whether executors of upstream's kind run a workspace. They get one that accepts the weakest tier alone and may reach the public internet, and
 * whose steps have no secrets, no broker and no image that is an archive on the instance.
 */
export function isForUpstream(
  run: Run,
  options: Pick<z.output<typeof wholeBatchOptionsSchema>, 'accept' | 'network' | 'broker'>,
): boolean {
  const isWeakest = options.accept.every((tier) => tier === 'container');
  const isPublic = options.network.mode === 'public' && options.broker.length === 0;
  const hasSecrets = run.steps.some(
    ({ env }) => Array.isArray(env) && env.some((one) => typeof one === 'string'),
  );
  return isWeakest && isPublic && !hasSecrets && !imagesOf(run).some(isArchive);
}

/** Returns the function that says what an executor of upstream's kind gets for a job, as things are when it leases the job. */
export function makeExec({
  blobs,
}: {
  readonly blobs: Pick<BlobStore, 'has' | 'read'>;
}): KindStores['batches']['exec'] {
  return async (db, job) => {
    const run = await readRun(db, { jobId: job.id });
    if (run === null) throw batchWorkspaceNotFound(`of job ${job.id}`);
    const { rows: files } = await sql<BatchExec['files'][number]>`
      select path, ${run.publicId}::text || '/' || file.public_id as key, iso(modified_at) as "modifiedAt"
      from batch_files file join batch_specs spec on spec.id = spec_id
      where spec.public_id = ${run.publicId} order by path collate "C"
    `.execute(db);
    const { name, description = '' } = run.spec;
    const images = imagesOf(run);
    const input = {
      BatchChangeAttributes: { Name: name, Description: description },
      repository: { id: run.repository, name: run.repository },
      branch: { name: run.branch, target: { oid: run.commit } },
      path: run.path,
      onlyFetchWorkspace: run.onlyFetchWorkspace,
      // Older releases of `src` take the name of an image as it stands.
      steps: run.steps.map((step, at) => ({ ...step, container: images[at], env: step.env ?? {} })),
      searchResultPaths: run.fileMatches,
      skippedSteps: Object.fromEntries(run.skippedSteps.map((step) => [String(step), {}])),
    };
    const { helperImage } = await readBatchSettings(db);
    const cached = await cachedOf(db, blobs, run);
    return { input, files, skippedSteps: run.skippedSteps, cached, helperImage };
  };
}

/** Returns what the first steps have left that need not run; null: there is none, or its diff is not there or too large. */
async function cachedOf(
  db: Db,
  blobs: Pick<BlobStore, 'has' | 'read'>,
  run: Run,
): Promise<BatchExec['cached']> {
  const first = firstToRun(await readSteps(db, run.workspaceId));
  const { lastRun } = await lastResults(db, run.workspaceId, first);
  if (lastRun === null || lastRun.diffBytes > cachedDiffMax) return null;
  const { changes, stdout, stderr, outputs, diff: digest, diffBytes } = lastRun;
  if (diffBytes > 0 && !(await blobs.has(digest))) return null;
  const diff = diffBytes > 0 ? await buffer(blobs.read(digest)) : Buffer.alloc(0);
  return { step: first - 1, changes, stdout, stderr, diff, outputs };
}

/**
 * Returns the function that stores what the steps of a job have left that an executor of upstream's kind has run. A step without a result was
 * skipped if the log says so, if that is known before, or if a later step has a result. What follows a result that cannot be stored, such as a
 * diff that is none, is not stored, and the workspace fails then.
 */
export function makeExecuted(deps: {
  readonly vault: Vault;
  readonly blobs: Pick<BlobStore, 'write'>;
}): KindStores['batches']['executed'] {
  return async (tx, job, { results, skipped, fault }) => {
    const run = await readRun(tx, { jobId: job.id });
    if (run === null) return fault;
    await sql`
      update batch_workspaces set started_at = coalesce(started_at, ${job.started_at}) where id = ${run.workspaceId}
    `.execute(tx);
    const outer = await outerValues(tx, deps.vault, run);
    const first = firstToRun(await readSteps(tx, run.workspaceId));
    const byStep = new Map(results.map((result) => [result.step, result]));
    const last = Math.max(-1, ...[...byStep.keys()].filter((step) => step < run.steps.length));
    for (const step of run.steps.keys()) {
      const result = byStep.get(step);
      if (result === undefined) {
        if (step < first) continue;
        if (run.skippedSteps.includes(step))
          await storeStep(tx, run.workspaceId, { step, state: 'skipped', resultId: null });
        else if (step < last || skipped.includes(step)) {
          const before = await lastResults(tx, run.workspaceId, step);
          await storeSkipped(tx, run, outer, step, before.last);
        }
        continue;
      }
      const { diff: bytes, stdout, stderr, outputs } = result;
      try {
        const facts = factsOfDiff(bytes);
        const diff = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
        await deps.blobs.write(diff, Readable.from([bytes]));
        const left = {
          step,
          skipped: result.skipped,
          diff,
          diffBytes: bytes.length,
          stdout,
          stderr,
          outputs,
        };
        const { id: resultId } = await storeResult(tx, run, outer, { ...left, ...facts });
        const state = result.skipped ? 'skipped' : 'completed';
        await storeStep(tx, run.workspaceId, { step, state, resultId });
      } catch (error) {
        if (error instanceof FumehoodError) return `the result of step ${step + 1}: ${error.message}`;
        throw error;
      }
    }
    return fault;
  };
}
