export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export type { ErrorFacts } from './errors.ts';
export { factsOf, GloveboxError } from './errors.ts';
export type {
  ExitStatus,
  Spawn,
  SpawnBind,
  SpawnedProcess,
  SpawnLimits,
  SpawnRequest,
} from './spawn/spawn.ts';
