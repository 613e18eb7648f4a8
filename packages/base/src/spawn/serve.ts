import type { ChildProcess } from 'node:child_process';
import { realpathSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Identity } from '../identity.ts';
import { ipcError, receiveMessages, sendMessage } from '../ipc.ts';
import { spawnFailed } from './errors.ts';
import { type GatedProcess, gatedSpawn } from './local.ts';
import { type SpawnAnswer, spawnCallSchema } from './messages.ts';
import type { SpawnRequest } from './spawn.ts';

/** What an unprivileged child may have run for it: nothing else can be reached through its parent. */
export interface SpawnPolicy {
  /** As whom; null without root. */
  readonly identity: Identity | null;
  /** Programs, by the path that they have inside. */
  readonly programs: readonly string[];
  /** Directories below which its binds must lie. */
  readonly bindRoots: readonly string[];
  /** Programs that may run at once. */
  readonly maxProcesses: number;
}

/**
 * Runs programs under the profile for an unprivileged child process, over its IPC channel. The program waits behind its gate
 * until the child holds its streams: this process must never read a byte of them.
 */
export function serveSpawn(child: ChildProcess, policy: SpawnPolicy): void {
  const start = gatedSpawn(policy.identity);
  /** Null: its place is taken while it is being started. */
  const running = new Map<number, GatedProcess | null>();
  const answer = (message: SpawnAnswer, socket?: Socket): void => {
    void sendMessage(child, message, socket);
  };
  const run = async (id: number, request: SpawnRequest): Promise<SpawnAnswer> => {
    const gated = await start(allowed(request, policy));
    running.set(id, gated);
    if (!child.connected) gated.process.kill();
    for (const name of ['stdin', 'stdout', 'stderr'] as const)
      answer({ type: 'spawn.stream', id, name }, gated.sockets[name]);
    const { code, signal, timedOut } = await gated.process.exited;
    return { type: 'spawn.exited', id, code, signal, timedOut };
  };
  const take = async (id: number, request: SpawnRequest) => {
    const isFull = running.size >= policy.maxProcesses;
    const why = running.has(id) ? 'its id is taken' : isFull && 'too many programs at once';
    if (why) return answer(refused(id, spawnFailed(request.label, why)));
    running.set(id, null);
    const last = await run(id, request).catch((error: unknown) => refused(id, error));
    running.delete(id);
    answer(last);
  };
  receiveMessages(child, spawnCallSchema, (call) => {
    if (call.type === 'spawn.go') running.get(call.id)?.open();
    else if (call.type === 'spawn.kill') running.get(call.id)?.process.kill();
    else void take(call.id, call.request as SpawnRequest);
  });
  // Nobody is left to let them go on, or to end them. A child that dies while a socket is on its way to it is not told as
  // disconnected.
  for (const event of ['disconnect', 'exit'] as const)
    child.on(event, () => {
      for (const gated of running.values()) gated?.process.kill();
    });
}

function refused(id: number, error: unknown): SpawnAnswer {
  return { type: 'spawn.refused', id, error: ipcError(error) };
}

/** The request with its binds resolved, if the policy lets it run. */
function allowed(request: SpawnRequest, policy: SpawnPolicy): SpawnRequest {
  if (!policy.programs.includes(request.program))
    throw spawnFailed(request.label, `${request.program} is not on the list`);
  const roots = policy.bindRoots.map((root) => realpathSync(root));
  const binds = (request.binds ?? []).map((bind) => {
    const source = realPath(request.label, bind.source);
    const inside = roots.some((root) => source === root || source.startsWith(`${root}/`));
    if (!inside) throw spawnFailed(request.label, `${bind.source} is outside of what it may see`);
    return { ...bind, source };
  });
  return { ...request, binds };
}

function realPath(label: string, path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw spawnFailed(label, (error as Error).message);
  }
}
