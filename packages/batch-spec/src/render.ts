import type { Fields } from './template/check.ts';
import { evaluate } from './template/evaluate.ts';
import { functions } from './template/functions.ts';
import { parseTemplate } from './template/parse.ts';
import { shellWord } from './template/shell.ts';
import { staticText } from './template/static.ts';
import { SpacedList, type Value, type ValueMap } from './template/value.ts';

/** What the templates of all parts of a spec know. */
interface CommonContext {
  readonly repository: {
    readonly name: string;
    /** Without `refs/heads/`. */
    readonly branch: string;
    readonly searchResultPaths: readonly string[];
  };
  readonly batchChange: { readonly name: string; readonly description: string };
  /** What the steps before have said, by name. */
  readonly outputs: ValueMap;
  /** The directory of the workspace; empty for the root. */
  readonly path: string;
  /** What all steps so far have changed. */
  readonly changes: Changes;
}

/** Paths of files, by what was done with them. */
export interface Changes {
  readonly modified: readonly string[];
  readonly added: readonly string[];
  readonly deleted: readonly string[];
  readonly renamed: readonly string[];
}

/** What a step has left. */
export interface StepEnd {
  readonly changes: Changes;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the templates of a step know. */
export interface StepContext extends CommonContext {
  /** Null before the first step. */
  readonly previousStep: StepEnd | null;
  /** The step whose outputs are rendered; null elsewhere. */
  readonly step: StepEnd | null;
}

/** What the templates of changesets know. */
export type ChangesetContext = CommonContext;

const map = (fields: Readonly<Record<string, Value>>): ValueMap => new Map(Object.entries(fields));
/** Paths are words of a shell: templates put them into commands, and whoever has written the repository has chosen them. */
const ofChanges = ({ modified, added, deleted, renamed }: Changes) => ({
  modified_files: modified.map(shellWord),
  added_files: added.map(shellWord),
  deleted_files: deleted.map(shellWord),
  renamed_files: renamed.map(shellWord),
});
const noChanges: Changes = { modified: [], added: [], deleted: [], renamed: [] };
const ofStep = (end: StepEnd | null): ValueMap =>
  map({ ...ofChanges(end?.changes ?? noChanges), stdout: end?.stdout ?? '', stderr: end?.stderr ?? '' });

const commonValues = ({ repository, batchChange, outputs }: CommonContext) => ({
  repository: map({
    name: repository.name,
    branch: repository.branch,
    search_result_paths: SpacedList.from(repository.searchResultPaths.toSorted().map(shellWord)),
  }),
  batch_change: map({ ...batchChange }),
  outputs,
});

const fieldsFrom = (fields: Readonly<Record<string, readonly string[] | null>>): Fields =>
  new Map(Object.entries(fields));
const ofFiles = Object.keys(ofChanges(noChanges));
const ofStepEnd = [...ofFiles, 'stdout', 'stderr'];
const common = {
  repository: ['name', 'branch', 'search_result_paths'],
  batch_change: ['name', 'description'],
};

/** Returns the variables that the templates of a step know, with their fields. `outputs`: names of those that there can be. */
export const stepFields = (outputs: readonly string[]): Fields =>
  fieldsFrom({
    ...common,
    ...{ outputs, previous_step: ofStepEnd, step: ofStepEnd, steps: [...ofStepEnd, 'path'] },
  });

/** The variables that the image of a step may use: those that are known before any step runs. */
export const containerFields: Fields = fieldsFrom({ ...common, steps: ['path'] });

/** Returns the variables that the templates of changesets know, with their fields. */
export const changesetFields = (outputs: readonly string[]): Fields =>
  fieldsFrom({ ...common, outputs, steps: [...ofFiles, 'path'], batch_change_link: null });

const functionNames = Object.keys(functions);
const stepNames = new Set([...functionNames, ...stepFields([]).keys()]);
const changesetNames = new Set([...functionNames, ...changesetFields([]).keys()]);

/** Renders a template of a step: its command, a variable, a file, an output or its container image. Errors: `template_invalid`. */
export function renderStepText(template: string, context: StepContext): string {
  const { previousStep, step, changes, path } = context;
  const variables = new Map<string, Value>([
    ...Object.entries(commonValues(context)),
    ['previous_step', ofStep(previousStep)],
    ['step', ofStep(step)],
    ['steps', map({ ...ofChanges(changes), path, stdout: '', stderr: '' })],
  ]);
  return evaluate(parseTemplate(template, stepNames), variables);
}

/**
 * Renders a template of a changeset, without white space at its ends. `batch_change_link` stays, for whoever publishes the changeset. Errors:
 * `template_invalid`.
 */
export function renderChangesetText(template: string, context: ChangesetContext): string {
  const { changes, path } = context;
  const variables = new Map<string, Value>([
    ...Object.entries(commonValues(context)),
    ['steps', map({ ...ofChanges(changes), path })],
    ['batch_change_link', '${{ batch_change_link }}'],
  ]);
  return evaluate(parseTemplate(template, changesetNames), variables).trim();
}

/** A step's `if`. */
type Condition = string | boolean | undefined;

const isTrueText = (text: string): boolean => text.trim() === 'true';

/** Returns whether a step runs: without a condition, or when the condition renders to `true`. Errors: `template_invalid`. */
export function isStepWanted(condition: Condition, context: StepContext): boolean {
  if (condition === undefined || condition === '') return true;
  return typeof condition === 'boolean' ? condition : isTrueText(renderStepText(condition, context));
}

/**
 * Returns whether a step will run whatever the steps before it do; null: that depends on them. Only the names and the description of the repository and
 * the batch change are known before. Errors: `template_invalid`.
 */
export function isStepWantedAnyway(
  condition: Condition,
  {
    repository,
    batchChange,
  }: {
    readonly repository: { readonly name: string };
    readonly batchChange: CommonContext['batchChange'];
  },
): boolean | null {
  if (condition === undefined || condition === '') return true;
  if (typeof condition === 'boolean') return condition;
  const known = new Map<string, Value>([
    ['repository.name', repository.name],
    ['batch_change.name', batchChange.name],
    ['batch_change.description', batchChange.description],
  ]);
  const text = staticText(condition, stepNames, known);
  return text === null ? null : isTrueText(text);
}
