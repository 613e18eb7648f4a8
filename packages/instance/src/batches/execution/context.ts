import { outputsFrom, type StepContext } from '@fumehood/batch-spec';
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
