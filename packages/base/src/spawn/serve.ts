import type { ChildProcess } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { factsOf } from '../errors.ts';
import { spawnFailed } from './errors.ts';
import { type GatedProcess, gatedSpawn } from './local.ts';
import { type SpawnAnswer, spawnCallSchema } from './messages.ts';
import type { Identity } from './profile.ts';
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
  const running = new Map<number, GatedProcess>();
  const answer = (message: SpawnAnswer) => {
    if (child.connected) child.send(message);
  };
  const begin = async (id: number, request: SpawnRequest) => {
    if (running.size >= policy.maxProcesses) throw spawnFailed(request.label, 'too many programs at once');
    const gated = await start(allowed(request, policy));
    running.set(id, gated);
    for (const name of ['stdin', 'stdout', 'stderr'] as const) {
      const message: SpawnAnswer = { type: 'spawn.stream', id, name };
      child.send(message, gated.sockets[name]);
    }
    const { code, signal, timedOut } = await gated.process.exited;
    running.delete(id);
    answer({ type: 'spawn.exited', id, code, signal, timedOut });
  };
  child.on('message', (message: unknown) => {
    const parsed = spawnCallSchema.safeParse(message);
    if (!parsed.success) return; // another vocabulary's
    const call = parsed.data;
    if (call.type === 'spawn.go') running.get(call.id)?.open();
    else if (call.type === 'spawn.kill') running.get(call.id)?.process.kill();
    else if (running.has(call.id))
      answer(refused(call.id, spawnFailed(call.request.label, 'its id is taken')));
    else
      begin(call.id, call.request as SpawnRequest).catch((error: unknown) => answer(refused(call.id, error)));
  });
  child.on('exit', () => {
    for (const gated of running.values()) gated.process.kill();
  });
}

function refused(id: number, error: unknown): SpawnAnswer {
  const { code, message, remedy } = factsOf(error);
  return { type: 'spawn.refused', id, error: { code, message, ...(remedy && { remedy }) } };
}

/** The request with its binds resolved, if the policy lets it run. */
function allowed(request: SpawnRequest, policy: SpawnPolicy): SpawnRequest {
  if (!policy.programs.includes(request.program))
    throw spawnFailed(request.label, `${request.program} is not on the list`);
  const roots = policy.bindRoots.map((root) => realpathSync(root));
  const binds = (request.binds ?? []).map((bind) => {
    const source = realpathSync(bind.source);
    const inside = roots.some((root) => source === root || source.startsWith(`${root}/`));
    if (!inside) throw spawnFailed(request.label, `${bind.source} is outside of what it may see`);
    return { ...bind, source };
  });
  return { ...request, binds };
}
