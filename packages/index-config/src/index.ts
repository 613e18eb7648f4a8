export { type Inference, inferenceLimits, inferIndexJobs } from './infer.ts';
export { configBytesMax, parseIndexConfig } from './parse.ts';
export {
  defaultIndexerImages,
  type IndexerImages,
  type Language,
  languages,
  nodeMemory,
} from './recognizer.ts';
export { type IndexJobSpec, indexJobSpecSchema, type PlannedJob } from './spec.ts';
