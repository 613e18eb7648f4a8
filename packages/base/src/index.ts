export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export { collect } from './collect.ts';
export { readConfig } from './config.ts';
export { counted } from './counted.ts';
export { ownedDirectory, sharedDirectory } from './directories.ts';
export type { ErrorFacts } from './errors.ts';
export { factsOf, FumehoodError } from './errors.ts';
export { readEvents } from './events.ts';
export type { CachedWork, FileCache, FileCacheUse } from './file-cache.ts';
export { isSharedFailure, openFileCache } from './file-cache.ts';
export { reportFailed, reportStarted, startChild, untilStarted } from './helper/child.ts';
export type { Helper } from './helper/main.ts';
export { runHelper } from './helper/main.ts';
export type { Running, SuperviseDeps } from './helper/supervise.ts';
export { supervise } from './helper/supervise.ts';
export type { Identity } from './identity.ts';
export { ipcError, ipcErrorSchema, receiveMessages, sendMessage } from './ipc.ts';
export type { Fetch, FetchRequest } from './local/fetch.ts';
export { type Answer, openFetch, socketOf } from './local/fetch.ts';
export { listenOnSocket, socketPathMax } from './local/listen.ts';
export { provenSocket, trustedUids, untrustedPart } from './local/ownership.ts';
export { abortable } from './spawn/abortable.ts';
export { seccompFilter } from './seccomp/filter.ts';
export type { GroupProcesses } from './spawn/local.ts';
export { localSpawn } from './spawn/local.ts';
export { openOutput } from './spawn/output.ts';
export { remoteSpawn } from './spawn/remote.ts';
export type { AllowedCommand } from './spawn/remote-commands.ts';
export { allowedRequest } from './spawn/remote-commands.ts';
export { removalCommands, removeTree } from './spawn/remove.ts';
export type { Finished } from './spawn/run.ts';
export { runToEnd } from './spawn/run.ts';
export type { SpawnPolicy } from './spawn/serve.ts';
export { serveSpawn } from './spawn/serve.ts';
export type {
  ExitStatus,
  Spawn,
  SpawnBind,
  SpawnedProcess,
  SpawnRequest,
} from './spawn/spawn.ts';
export { logFormatVariable, logLines } from './log-lines.ts';
