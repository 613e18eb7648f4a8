import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Identity } from '../identity.ts';
import { ipcError, receiveMessages, sendMessage } from '../ipc.ts';
import { spawnFailed } from './errors.ts';
import { type GatedProcess, gatedSpawn, type GroupProcesses } from './local.ts';
import { type SpawnAnswer, spawnCallSchema } from './messages.ts';
import { type AllowedCommand, allowedRequest } from './remote-commands.ts';
import type { SpawnRequest } from './spawn.ts';

/** The programs that an unprivileged child may have run by its helper, and what they may see. */
export interface SpawnPolicy {
  /** The identity of the programs; null without root. */
  readonly identity: Identity | null;
  readonly commands: readonly AllowedCommand[];
  /** Bounds a program's processes together; null where the host cannot. */
  readonly group: GroupProcesses | null;
  /** How many programs may run at once. */
  readonly maxProcesses: number;
}

/**
 * Runs programs under the profile for an unprivileged child process, which asks for them over its IPC channel. A program waits
 * behind its gate until the child holds its streams: this process must never read a byte of them.
 */
export function serveSpawn(child: ChildProcess, policy: SpawnPolicy): void {
  const start = gatedSpawn(policy.identity, policy.group);
  /** By the id of the call. Null while the program is being started. */
  const running = new Map<number, GatedProcess | null>();
  const answer = (message: SpawnAnswer, socket?: Socket): void => {
    void sendMessage(child, message, socket);
  };
  const run = async (id: number, request: SpawnRequest): Promise<SpawnAnswer> => {
    const gated = await start(allowedRequest(request, policy.commands));
    running.set(id, gated);
    if (!child.connected) gated.process.kill();
    for (const name of ['stdin', 'stdout', 'stderr'] as const)
      answer({ type: 'spawn.stream', id, name, uid: gated.process.uid }, gated.sockets[name]);
    const { code, signal, timedOut } = await gated.process.exited;
    return { type: 'spawn.exited', id, code, signal, timedOut };
  };
  const admit = async (id: number, request: SpawnRequest) => {
    const isFull = running.size >= policy.maxProcesses;
    const refusal = running.has(id) ? 'its id is taken' : isFull && 'too many programs at once';
    if (refusal) return answer(refused(id, spawnFailed(request.label, refusal)));
    running.set(id, null);
    const last = await run(id, request).catch((error: unknown) => refused(id, error));
    running.delete(id);
    answer(last);
  };
  receiveMessages(child, spawnCallSchema, (call) => {
    if (call.type === 'spawn.go') running.get(call.id)?.open();
    else if (call.type === 'spawn.kill') running.get(call.id)?.process.kill();
    else void admit(call.id, call.request as SpawnRequest);
  });
  // When the child is gone, nobody else can let its programs through their gates, or kill them. Both events are needed: Node emits
  // no `disconnect` for a child that dies while a socket is on its way to it.
  for (const event of ['disconnect', 'exit'] as const)
    child.on(event, () => {
      for (const gated of running.values()) gated?.process.kill();
    });
}

function refused(id: number, error: unknown): SpawnAnswer {
  return { type: 'spawn.refused', id, error: ipcError(error) };
}
