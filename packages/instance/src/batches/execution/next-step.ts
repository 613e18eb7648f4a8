import { createHash } from 'node:crypto';
import { isStepWanted, parseOutput, renderStepText, type StepEnd } from '@fumehood/batch-spec';
import { type NextStep, storableText } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { BlobStore } from '../../blobs/store.ts';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../../queue/job.ts';
import type { JobSteps, StepDone } from '../../queue/kind.ts';
import type { Vault } from '../../secrets/vault.ts';
import { batchWorkspaceNotFound, stepUnexpected } from '../errors.ts';
import { wakeBatch } from '../specs.ts';
import { contextOf } from './context.ts';
import { factsOfDiff } from './diff-facts.ts';
import { mountedFiles } from './mounts.ts';
import { lastResults, readSteps, type StepResult, type StepRow, storeResult, storeStep } from './results.ts';
import { outerValues, readRun, type Run } from './run.ts';

export interface StepDeps {
  readonly vault: Vault;
  readonly blobs: Pick<BlobStore, 'read'>;
}

/** The digest of no bytes: no step has changed anything. */
const emptyDiff = `sha256:${createHash('sha256').digest('hex')}`;

/** An attempt at a workspace. */
interface Attempt {
  readonly tx: Db;
  readonly run: Run;
  readonly outer: ReadonlyMap<string, string>;
  readonly rows: ReadonlyMap<number, StepRow>;
}

/**
 * Returns the function that stores what a step has left and says which one is next. An attempt begins after the last step that an earlier
 * attempt or execution has completed. Errors of a template, an output or a diff end the attempt: `template_invalid`, `diff_invalid`,
 * `diff_too_big`; `batch_step_unexpected` for a step that the attempt was not given.
 */
export function makeNextStep({ vault, blobs }: StepDeps): JobSteps['next'] {
  return async (tx, job, done) => {
    const run = await readRun(tx, { jobId: job.id });
    if (run === null) throw batchWorkspaceNotFound(`of job ${job.id}`);
    const outer = await outerValues(tx, vault, run);
    const attempt = { tx, run, outer, rows: await readSteps(tx, run.workspaceId) };
    wakeBatch(tx, run, false);
    if (done !== null) {
      if (await endsStep(attempt, done.step)) await endStep(attempt, done, blobs);
      return await giveNext(attempt, done.step + 1, null);
    }
    const first = await beginAttempt(attempt, job);
    const { last } = await lastResults(tx, run.workspaceId, first);
    return await giveNext(attempt, first, last);
  };
}

/** Returns the first step that an attempt runs. */
async function beginAttempt({ tx, run, rows }: Attempt, job: JobRow): Promise<number> {
  await sql`
    update batch_workspaces set state = 'processing', started_at = coalesce(started_at, clock_timestamp())
    where id = ${run.workspaceId} and job_id = ${job.id}
  `.execute(tx);
  let first = 0;
  while (['cached', 'skipped', 'completed'].includes(rows.get(first)?.state ?? '')) first += 1;
  return first;
}

/** Returns whether this is the end of a step that runs; false: it was stored before, and its executor says it again. */
async function endsStep({ rows }: Attempt, step: number): Promise<boolean> {
  const state = rows.get(step)?.state;
  if (state !== 'processing' && state !== 'completed') throw stepUnexpected(step);
  return state === 'processing';
}

/** Stores what a step has left. */
async function endStep(
  { tx, run, outer }: Attempt,
  done: StepDone,
  blobs: Pick<BlobStore, 'read'>,
): Promise<void> {
  const { step, diff, diffBytes } = done;
  const chunks: Buffer[] = [];
  for await (const chunk of blobs.read(diff) as AsyncIterable<Buffer>) chunks.push(chunk);
  const { changes, ...counts } = factsOfDiff(Buffer.concat(chunks));
  const end: StepEnd = {
    changes,
    stdout: storableText(done.stdout),
    stderr: storableText(done.stderr),
  };
  const before = await lastResults(tx, run.workspaceId, step);
  const context = { ...contextOf(run, before), changes: end.changes, step: end };
  const outputs: Record<string, unknown> = { ...before.last?.outputs };
  for (const [name, { value, format }] of Object.entries(run.steps[step]?.outputs ?? {}))
    outputs[name] = parseOutput(renderStepText(value, context), format);
  const stored = await storeResult(tx, run, outer, {
    ...{ step, skipped: false, diff, diffBytes, ...end, ...counts, outputs },
  });
  await storeStep(tx, run.workspaceId, { step, state: 'completed', resultId: stored.id });
}

/** Begins the next step that is to run, and says what its executor needs. Steps before it whose conditions are false are recorded as skipped. */
async function giveNext(attempt: Attempt, first: number, restored: StepResult | null): Promise<NextStep> {
  const { tx, run } = attempt;
  const restore = restored !== null && restored.diffBytes > 0 ? { digest: restored.diff } : null;
  const skipped: number[] = [];
  for (let step = first; step < run.steps.length; step += 1) {
    if (await isSkipped(attempt, step)) {
      skipped.push(step);
      continue;
    }
    await storeStep(tx, run.workspaceId, { step, state: 'processing', resultId: null });
    return { next: await stepOf(attempt, step), restore, skipped };
  }
  return { next: null, restore, skipped };
}

/** Decides whether a step is skipped, and records it. */
async function isSkipped({ tx, run, outer, rows }: Attempt, step: number): Promise<boolean> {
  if (run.skippedSteps.includes(step)) {
    await storeStep(tx, run.workspaceId, { step, state: 'skipped', resultId: null });
    return true;
  }
  if (rows.get(step)?.state === 'skipped') return true;
  const before = await lastResults(tx, run.workspaceId, step);
  const context = contextOf(run, before);
  if (isStepWanted(run.steps[step]?.if, context)) return false;
  // That it was skipped is a result, too: a later execution skips it without asking.
  const {
    diff = emptyDiff,
    diffBytes = 0,
    addedLines = 0,
    deletedLines = 0,
    outputs = {},
  } = before.last ?? {};
  const stored = await storeResult(tx, run, outer, {
    ...{ step, skipped: true, diff, diffBytes, addedLines, deletedLines, outputs },
    ...{ changes: context.changes, stdout: '', stderr: '' },
  });
  await storeStep(tx, run.workspaceId, { step, state: 'skipped', resultId: stored.id });
  return true;
}

/** Returns what an executor needs to run a step. */
async function stepOf({ tx, run, outer }: Attempt, at: number): Promise<NextStep['next']> {
  const step = run.steps[at];
  if (step === undefined) throw new TypeError(`there is no step ${at}`);
  const context = contextOf(run, await lastResults(tx, run.workspaceId, at));
  const render = (template: string) => renderStepText(template, context);
  const env = new Map<string, string>();
  const secrets = new Set<string>();
  for (const [name, value] of variablesOf(step.env)) {
    // The value of a secret is no template.
    env.set(name, value === null ? (outer.get(name) ?? '') : render(value));
    if (value === null && outer.has(name)) secrets.add(name);
    else secrets.delete(name);
  }
  return {
    step: at,
    script: render(step.run),
    env: [...env].map(([name, value]) => `${name}=${value}`),
    secrets: [...secrets],
    files: [
      ...Object.entries(step.files ?? {}).map(([target, content]) => ({
        target,
        content: Buffer.from(render(content)).toString('base64'),
      })),
      ...mountedFiles(step, at, run.files),
    ],
  };
}

/** Returns the names of a step's variables with their templates; null: the value comes from outside. */
function variablesOf(env: Run['steps'][number]['env']): [string, string | null][] {
  if (!Array.isArray(env)) return Object.entries(env ?? {});
  return env.flatMap((one): [string, string | null][] =>
    typeof one === 'string' ? [[one, null]] : Object.entries(one),
  );
}
