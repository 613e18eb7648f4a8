export { cacheKey, type StepInputs } from './cache-key.ts';
export { outputsFrom, parseOutput } from './outputs.ts';
export { checkBatchSpec, parseBatchSpec } from './parse.ts';
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
