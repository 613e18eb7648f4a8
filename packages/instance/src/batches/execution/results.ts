import { createHash } from 'node:crypto';
import { cacheKey, type Changes } from '@fumehood/batch-spec';
import { storableText } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { outputsInvalid } from '../errors.ts';
import type { Run } from './run.ts';
import { stepInputs } from './run.ts';

/** What the steps of a workspace have left up to one of them. */
export interface StepResult {
  readonly id: number;
  readonly step: number;
  readonly skipped: boolean;
  /** The blob with all changes. */
  readonly diff: string;
  readonly diffBytes: number;
  readonly addedLines: number;
  readonly deletedLines: number;
  readonly changes: Changes;
  readonly stdout: string;
  readonly stderr: string;
  /** All outputs so far, by name, as JSON has them. */
  readonly outputs: Readonly<Record<string, unknown>>;
}

const columns = sql`result.id, result.step, skipped, diff, diff_bytes as "diffBytes", added_lines as "addedLines", deleted_lines as "deletedLines",
  changes, stdout, stderr, outputs`;

/** How deep arrays and objects of outputs lie in each other, and how many UTF-16 code units all outputs have as JSON. */
const outputsDepthMax = 100;
const outputsTextMax = 4 * 2 ** 20;

/** Returns outputs as JSON that the database can store. Errors: `batch_outputs_invalid` for what is too deep or too long. */
function encodeOutputs(outputs: StepResult['outputs']): string {
  const text = JSON.stringify(storable(outputs, 0));
  if (text.length > outputsTextMax) throw outputsInvalid(`are longer than ${outputsTextMax} characters`);
  return text;
}

function storable(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return storableText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === outputsDepthMax) throw outputsInvalid(`have more than ${outputsDepthMax} levels`);
  if (Array.isArray(value)) return value.map((one) => storable(one, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [storableText(name), storable(one, depth + 1)]),
  );
}

/** Stores the result of a step under its key. Errors: `batch_outputs_invalid`. */
export async function storeResult(
  tx: Db,
  run: Run,
  outer: ReadonlyMap<string, string>,
  result: Omit<StepResult, 'id'>,
): Promise<StepResult> {
  const key = cacheKey(stepInputs(run, outer), result.step);
  const { rows } = await sql<{ id: number }>`
    insert into batch_step_results (creator, key, step, skipped, diff, diff_bytes, added_lines, deleted_lines, changes, stdout, stderr, outputs)
    values (${run.creator}, ${key}, ${result.step}, ${result.skipped}, ${result.diff}, ${result.diffBytes}, ${result.addedLines},
      ${result.deletedLines}, ${JSON.stringify(result.changes)}::jsonb, ${result.stdout}, ${result.stderr},
      ${encodeOutputs(result.outputs)}::jsonb)
    returning id
  `.execute(tx);
  return { ...result, id: rows[0]?.id ?? 0 };
}

/** Returns the newest results of the creator under these keys, by key. */
export async function findResults(
  db: Db,
  creator: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, Pick<StepResult, 'id' | 'skipped' | 'diff' | 'diffBytes'>>> {
  const { rows } = await sql<{ key: string; id: number; skipped: boolean; diff: string; diffBytes: number }>`
    select distinct on (key) key, id, skipped, diff, diff_bytes as "diffBytes" from batch_step_results
    where creator = ${creator} and key = any(${[...keys]}::text[]) order by key, id desc
  `.execute(db);
  return new Map(rows.map(({ key, ...result }) => [key, result]));
}

/** Returns the result of the last step before `before` that has one, and of the last that was not skipped. */
export async function lastResults(
  db: Db,
  workspaceId: number,
  before: number,
): Promise<{ readonly last: StepResult | null; readonly lastRun: StepResult | null }> {
  const { rows } = await sql<StepResult>`
    (select ${columns} from batch_workspace_steps step join batch_step_results result on result.id = result_id
      where workspace_id = ${workspaceId} and step.step < ${before} order by step.step desc limit 1)
    union all
    (select ${columns} from batch_workspace_steps step join batch_step_results result on result.id = result_id
      where workspace_id = ${workspaceId} and step.step < ${before} and not skipped order by step.step desc limit 1)
  `.execute(db);
  const [last = null, lastRun = last?.skipped === true ? null : last] = rows;
  return { last, lastRun };
}

/** A row of `batch_workspace_steps`. */
export interface StepRow {
  readonly step: number;
  readonly state: 'cached' | 'skipped' | 'processing' | 'completed' | 'failed';
  readonly resultId: number | null;
}

/** Stores the state of a step. One that begins has no result yet, and one that ends keeps the time at which it began. */
export async function storeStep(
  tx: Db,
  workspaceId: number,
  { step, state, resultId }: StepRow,
): Promise<void> {
  const isProcessing = state === 'processing';
  await sql`
    insert into batch_workspace_steps as row (workspace_id, step, state, result_id, started_at, finished_at)
    values (${workspaceId}, ${step}, ${state}, ${resultId},
      case when ${isProcessing} then clock_timestamp() end, case when not ${isProcessing} then clock_timestamp() end)
    on conflict (workspace_id, step) do update set state = excluded.state, result_id = excluded.result_id,
      started_at = coalesce(excluded.started_at, row.started_at), finished_at = excluded.finished_at
  `.execute(tx);
}

/** Returns the rows of the steps of a workspace, by step. */
export async function readSteps(db: Db, workspaceId: number): Promise<ReadonlyMap<number, StepRow>> {
  const { rows } = await sql<StepRow>`
    select step, state, result_id as "resultId" from batch_workspace_steps where workspace_id = ${workspaceId}
  `.execute(db);
  return new Map(rows.map((row) => [row.step, row]));
}

/** Returns the first step that has not ended. */
export function firstToRun(rows: ReadonlyMap<number, StepRow>): number {
  let first = 0;
  while (['cached', 'skipped', 'completed'].includes(rows.get(first)?.state ?? '')) first += 1;
  return first;
}

/** The digest of no bytes: no step has changed anything. */
const emptyDiff = `sha256:${createHash('sha256').digest('hex')}`;

/** Stores that a step was skipped. That is a result, too: a later execution skips it without asking. `last`: the result before it. */
export async function storeSkipped(
  tx: Db,
  run: Run,
  outer: ReadonlyMap<string, string>,
  step: number,
  last: StepResult | null,
): Promise<void> {
  const {
    diff = emptyDiff,
    diffBytes = 0,
    addedLines = 0,
    deletedLines = 0,
    changes = { modified: [], added: [], deleted: [], renamed: [] },
    outputs = {},
  } = last ?? {};
  const stored = await storeResult(tx, run, outer, {
    ...{ step, skipped: true, diff, diffBytes, addedLines, deletedLines, outputs },
    ...{ changes, stdout: '', stderr: '' },
  });
  await storeStep(tx, run.workspaceId, { step, state: 'skipped', resultId: stored.id });
}
