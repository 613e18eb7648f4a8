import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
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
import { factsOfDiff } from './diff-facts.ts';
import { storeResult, storeStep } from './results.ts';
import { outerValues, readRun, type Run } from './run.ts';

/**
 * Returns what executors of upstream's kind run for a workspace; null: they do not get it. They get one that accepts the weakest tier alone and may
 * reach the public internet, and whose steps have no secrets, no broker and no image that is an archive on the instance. They run its steps from the first one on.
 */
export async function execOf(
  db: Db,
  run: Run,
  options: Pick<z.output<typeof wholeBatchOptionsSchema>, 'accept' | 'network' | 'broker'>,
): Promise<BatchExec | null> {
  const isWeakest = options.accept.every((tier) => tier === 'container');
  const isPublic = options.network.mode === 'public' && options.broker.length === 0;
  const hasSecrets = run.steps.some(
    ({ env }) => Array.isArray(env) && env.some((one) => typeof one === 'string'),
  );
  const hasArchive = run.steps.some(({ container }) => isArchive(container));
  if (!isWeakest || !isPublic || hasSecrets || hasArchive) return null;
  const { rows } = await sql<BatchExec['files'][number]>`
    select path, ${run.publicId}::text || '/' || file.public_id as key, iso(modified_at) as "modifiedAt"
    from batch_files file join batch_specs spec on spec.id = spec_id
    where spec.public_id = ${run.publicId} order by path collate "C"
  `.execute(db);
  const { name, description = '' } = run.spec;
  const input = {
    BatchChangeAttributes: { Name: name, Description: description },
    repository: { id: run.repository, name: run.repository },
    branch: { name: run.branch, target: { oid: run.commit } },
    path: run.path,
    onlyFetchWorkspace: run.onlyFetchWorkspace,
    steps: run.steps.map((step) => ({ ...step, env: step.env ?? {} })),
    searchResultPaths: run.fileMatches,
    cachedStepResultFound: false,
    skippedSteps: Object.fromEntries(run.skippedSteps.map((step) => [String(step), {}])),
  };
  return { input: JSON.stringify(input), files: rows };
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
    const byStep = new Map(results.map((result) => [result.step, result]));
    const last = Math.max(-1, ...[...byStep.keys()].filter((step) => step < run.steps.length));
    for (const step of run.steps.keys()) {
      const result = byStep.get(step);
      if (result === undefined) {
        if (step < last || skipped.includes(step) || run.skippedSteps.includes(step))
          await storeStep(tx, run.workspaceId, { step, state: 'skipped', resultId: null });
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
