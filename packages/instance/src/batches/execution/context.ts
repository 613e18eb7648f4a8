import { outputsFrom, renderStepText, type StepContext } from '@fumehood/batch-spec';
import type { StepResult } from './results.ts';
import type { Run } from './run.ts';

/** Returns what the templates of a step know. `last`: the result before it; `lastRun`: that of the last step that was not skipped. */
export function contextOf(
  run: Run,
  { last, lastRun }: { readonly last: StepResult | null; readonly lastRun: StepResult | null },
): StepContext {
  const { name, description = '' } = run.spec;
  return {
    repository: {
      name: run.repository,
      branch: run.branch.replace(/^refs\/heads\//, ''),
      searchResultPaths: run.fileMatches,
    },
    batchChange: { name, description },
    outputs: outputsFrom(last?.outputs ?? {}, run.steps),
    path: run.path,
    changes: last?.changes ?? { modified: [], added: [], deleted: [], renamed: [] },
    previousStep: lastRun,
    step: null,
  };
}

/** Returns the image of each step. It is known before any step runs, so that all images can be fetched then. */
export function imagesOf(run: Run): string[] {
  const context = contextOf(run, { last: null, lastRun: null });
  return run.steps.map(({ container }) => renderStepText(container, context));
}
