export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export type { ErrorFacts } from './errors.ts';
export { factsOf, FumehoodError } from './errors.ts';
export { readEvents } from './events.ts';
export { oncePerKey } from './once-per-key.ts';
export { localSpawn } from './spawn/local.ts';
export type { Identity } from './spawn/profile.ts';
export { remoteSpawn } from './spawn/remote.ts';
export { collect, runToEnd, sharedDirectory } from './spawn/run.ts';
export type { SpawnPolicy } from './spawn/serve.ts';
export { serveSpawn } from './spawn/serve.ts';
export type {
  ExitStatus,
  Spawn,
  SpawnBind,
  SpawnedProcess,
  SpawnLimits,
  SpawnRequest,
} from './spawn/spawn.ts';
export { stderrLines } from './stderr-lines.ts';
