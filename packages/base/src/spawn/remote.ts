import type { Socket } from 'node:net';
import { z } from 'zod';
import { FumehoodError } from '../errors.ts';
import { receiveMessages, sendMessage } from '../ipc.ts';
import { spawnFailed } from './errors.ts';
import { type SpawnCall, spawnAnswerSchema, spawnRequestSchema } from './messages.ts';
import type { ExitStatus, Spawn, SpawnedProcess } from './spawn.ts';

interface Pending {
  readonly label: string;
  readonly streams: { stdin?: Socket; stdout?: Socket; stderr?: Socket };
  started(): void;
  refused(error: Error): void;
  exited(status: ExitStatus): void;
}

/** The child's side of `serveSpawn`: has programs run by the privileged parent, over this process's IPC channel. */
export function remoteSpawn(): Spawn {
  const pending = new Map<number, Pending>();
  let last = 0;
  const call = (message: SpawnCall) => void sendMessage(process, message);
  receiveMessages(process, spawnAnswerSchema, (answer, socket) => {
    const entry = pending.get(answer.id);
    if (!entry) return;
    if (answer.type === 'spawn.stream') {
      entry.streams[answer.name] = socket as Socket;
      if (answer.name === 'stderr') entry.started();
    } else {
      pending.delete(answer.id);
      if (answer.type === 'spawn.refused') entry.refused(new FumehoodError(answer.error));
      else
        entry.exited({
          code: answer.code,
          signal: answer.signal as NodeJS.Signals | null,
          timedOut: answer.timedOut,
        });
    }
  });
  // What it ran died with it.
  process.once('disconnect', () => {
    for (const entry of pending.values()) {
      entry.refused(spawnFailed(entry.label, 'its parent has gone'));
      entry.exited({ code: null, signal: 'SIGKILL', timedOut: false });
    }
    pending.clear();
  });
  return (request) =>
    new Promise<SpawnedProcess>((resolve, reject) => {
      if (!process.connected) return reject(spawnFailed(request.label, 'there is no parent to run it'));
      const checked = spawnRequestSchema.safeParse(request);
      if (!checked.success) return reject(spawnFailed(request.label, z.prettifyError(checked.error)));
      const id = ++last;
      const { promise: exited, resolve: ended } = Promise.withResolvers<ExitStatus>();
      const streams: Pending['streams'] = {};
      pending.set(id, {
        label: request.label,
        streams,
        exited: ended,
        refused: reject,
        started() {
          const { stdin, stdout, stderr } = streams as Required<Pending['streams']>;
          stdin.on('error', () => {}); // its exit tells
          resolve({ stdin, stdout, stderr, exited, kill: () => call({ type: 'spawn.kill', id }) });
          call({ type: 'spawn.go', id });
        },
      });
      call({ type: 'spawn.start', id, request: checked.data });
    });
}
