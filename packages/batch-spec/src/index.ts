export { cacheKey, type StepInputs } from './cache-key.ts';
export { checkTemplates } from './check-templates.ts';
export { outputsFrom, parseOutput } from './outputs.ts';
export { parseBatchSpec } from './parse.ts';
export {
  type Changes,
  type ChangesetContext,
  isStepWanted,
  isStepWantedAnyway,
  renderChangesetText,
  renderStepText,
  type StepContext,
  type StepEnd,
} from './render.ts';
export { type BatchSpec, batchSpecJsonSchema, type ChangesetTemplate, type Step } from './spec.ts';
export { matchesGlob } from './template/glob.ts';
