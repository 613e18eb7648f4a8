import { FumehoodError } from '@fumehood/base';
import { isStepWanted, parseOutput, renderStepText, type StepEnd } from '@fumehood/batch-spec';
import { type NextStep, storableText } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { BlobStore } from '../../blobs/store.ts';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../../queue/job.ts';
import type { JobSteps, StepDone } from '../../queue/kind.ts';
import type { Vault } from '../../secrets/vault.ts';
import { batchWorkspaceNotFound, stepInvalid, stepUnexpected } from '../errors.ts';
import { wakeBatch } from '../specs.ts';
import { contextOf } from './context.ts';
import { type DiffFacts, factsOfDiff } from './diff-facts.ts';
import { mountedFiles } from './mounts.ts';
import {
  firstToRun,
  lastResults,
  readSteps,
  type StepResult,
  type StepRow,
  storeResult,
  storeSkipped,
  storeStep,
} from './results.ts';
import { outerValues, readRun, type Run } from './run.ts';

export interface StepDeps {
  readonly vault: Vault;
  readonly blobs: Pick<BlobStore, 'read'>;
}

/** An attempt at a workspace. */
interface Attempt {
  readonly tx: Db;
  readonly run: Run;
  readonly outer: ReadonlyMap<string, string>;
  readonly rows: ReadonlyMap<number, StepRow>;
}

/**
 * Returns the function that stores what a step has left and says which one is next. An attempt begins after the last step that an earlier
 * attempt or execution has completed. Errors: `batch_step_invalid` for a diff or an output of the step, or a template of the next one, that
 * cannot be used: it is stored as the fault of that step and of the workspace; `batch_step_unexpected` for a step that the attempt was not
 * given.
 */
export function makeNextStep({ vault, blobs }: StepDeps): JobSteps['next'] {
  const attemptOf = async (tx: Db, job: JobRow): Promise<Attempt> => {
    const run = await readRun(tx, { jobId: job.id });
    if (run === null) throw batchWorkspaceNotFound(`of job ${job.id}`);
    wakeBatch(tx, run, false);
    const outer = await outerValues(tx, vault, run);
    return { tx, run, outer, rows: await readSteps(tx, run.workspaceId) };
  };
  return async (locked, done) => {
    const within = <T>(write: (attempt: Attempt) => Promise<T>) =>
      locked(async (tx, job) => await write(await attemptOf(tx, job)));
    try {
      if (done === null) return await within(beginAttempt);
      const facts = await readFacts(blobs, done);
      await within((attempt) => endStep(attempt, done, facts));
      return await within((attempt) => giveNext(attempt, done.step + 1, null));
    } catch (error) {
      if (error instanceof FumehoodError && error.code === 'batch_step_invalid')
        await within((attempt) => storeFault(attempt, error));
      throw error;
    }
  };
}

/** Begins an attempt with its first step. */
async function beginAttempt(attempt: Attempt): Promise<NextStep> {
  const { tx, run, rows } = attempt;
  await sql`
    update batch_workspaces set state = 'processing', started_at = coalesce(started_at, clock_timestamp()), reason = null
    where id = ${run.workspaceId}
  `.execute(tx);
  const first = firstToRun(rows);
  const { last } = await lastResults(tx, run.workspaceId, first);
  return await giveNext(attempt, first, last);
}

/** Returns what the diff of a step changes; an error for one that cannot be used. */
async function readFacts(
  blobs: Pick<BlobStore, 'read'>,
  { step, diff }: StepDone,
): Promise<DiffFacts | FumehoodError> {
  const chunks: Buffer[] = [];
  for await (const chunk of blobs.read(diff) as AsyncIterable<Buffer>) chunks.push(chunk);
  try {
    return ofStep(step, 'its diff', () => factsOfDiff(Buffer.concat(chunks)));
  } catch (error) {
    if (error instanceof FumehoodError) return error;
    throw error;
  }
}

/** Stores what a step has left, unless it is stored already: its executor may say it again. */
async function endStep(
  { tx, run, outer, rows }: Attempt,
  { step, diff, diffBytes, ...said }: StepDone,
  facts: DiffFacts | FumehoodError,
): Promise<void> {
  const state = rows.get(step)?.state;
  if (state === 'completed') return;
  if (state !== 'processing' && state !== 'failed') throw stepUnexpected(step);
  if (facts instanceof FumehoodError) throw facts;
  const { changes, ...counts } = facts;
  const end: StepEnd = { changes, stdout: storableText(said.stdout), stderr: storableText(said.stderr) };
  const before = await lastResults(tx, run.workspaceId, step);
  const context = { ...contextOf(run, before), changes: end.changes, step: end };
  const outputs: Record<string, unknown> = { ...before.last?.outputs };
  for (const [name, { value, format }] of Object.entries(run.steps[step]?.outputs ?? {}))
    outputs[name] = ofStep(step, `outputs.${name}`, () =>
      parseOutput(renderStepText(value, context), format),
    );
  const stored = await storeResult(tx, run, outer, {
    ...{ step, skipped: false, diff, diffBytes, ...end, ...counts, outputs },
  }).catch((error: unknown) => {
    throw faultOf(step, 'outputs', error);
  });
  await storeStep(tx, run.workspaceId, { step, state: 'completed', resultId: stored.id });
}

/** Stores that a step cannot be used, and why: the workspace fails with that when its executor ends the job. */
async function storeFault({ tx, run }: Attempt, { message, details }: FumehoodError): Promise<void> {
  await storeStep(tx, run.workspaceId, { step: Number(details.step), state: 'failed', resultId: null });
  await sql`
    update batch_workspaces set reason = ${storableText(message.slice(0, 2_000))} where id = ${run.workspaceId}
  `.execute(tx);
}

/** Runs what a step decides. Its errors become faults of the step; `place`: where in the step. */
function ofStep<T>(step: number, place: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw faultOf(step, place, error);
  }
}

function faultOf(step: number, place: string, error: unknown): unknown {
  if (!(error instanceof FumehoodError)) return error;
  const { offset } = error.details;
  const at = typeof offset === 'number' ? `${place}, character ${offset + 1}` : place;
  return stepInvalid(step, `${at}: ${error.message}`, error.remedy);
}

/** Begins the next step that is to run, and says what its executor needs. Steps before it whose conditions are false are recorded as skipped. */
async function giveNext(attempt: Attempt, first: number, restored: StepResult | null): Promise<NextStep> {
  const { tx, run, rows } = attempt;
  const restore = restored !== null && restored.diffBytes > 0 ? { digest: restored.diff } : null;
  const skipped: number[] = [];
  for (let step = first; step < run.steps.length; step += 1) {
    // The executor has gone on since: it has sent its question twice, and this one came late.
    if (rows.get(step)?.state === 'completed') throw stepUnexpected(first - 1);
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
  const condition = run.steps[step]?.if;
  if (ofStep(step, 'if', () => isStepWanted(condition, context))) return false;
  await storeSkipped(tx, run, outer, step, before.last);
  return true;
}

/** Returns what an executor needs to run a step. */
async function stepOf({ tx, run, outer }: Attempt, at: number): Promise<NextStep['next']> {
  const step = run.steps[at];
  if (step === undefined) throw new TypeError(`there is no step ${at}`);
  const context = contextOf(run, await lastResults(tx, run.workspaceId, at));
  const render = (place: string, template: string) =>
    ofStep(at, place, () => renderStepText(template, context));
  const env = new Map<string, string>();
  const secrets = new Set<string>();
  for (const [name, value] of variablesOf(step.env)) {
    // The value of a secret is no template.
    env.set(name, value === null ? (outer.get(name) ?? '') : render(`env.${name}`, value));
    if (value === null && outer.has(name)) secrets.add(name);
    else secrets.delete(name);
  }
  return {
    step: at,
    script: render('run', step.run),
    env: [...env].map(([name, value]) => `${name}=${value}`),
    secrets: [...secrets],
    files: [
      ...Object.entries(step.files ?? {}).map(([target, content]) => ({
        target,
        content: Buffer.from(render(`files.${target}`, content)).toString('base64'),
      })),
      ...mountedFiles(step, at, run.files),
    ],
  };
}

/** Returns the names of a step's variables with their templates; null: the value comes from outside. */
export function variablesOf(env: Run['steps'][number]['env']): [string, string | null][] {
  if (!Array.isArray(env)) return Object.entries(env ?? {});
  return env.flatMap((one): [string, string | null][] =>
    typeof one === 'string' ? [[one, null]] : Object.entries(one),
  );
}
