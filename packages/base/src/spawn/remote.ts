import type { Socket } from 'node:net';
import * as z from 'zod';
import { FumehoodError } from '../errors.ts';
import { receiveMessages, sendMessage } from '../ipc.ts';
import { spawnFailed } from './errors.ts';
import { type SpawnCall, spawnAnswerSchema, spawnRequestSchema } from './messages.ts';
import type { ExitStatus, Spawn, SpawnedProcess } from './spawn.ts';

interface Pending {
  readonly label: string;
  readonly streams: { stdin?: Socket; stdout?: Socket; stderr?: Socket };
  onStarted(uid: number): void;
  onRefused(error: Error): void;
  onExited(status: ExitStatus): void;
}

/** Returns a `Spawn` that has programs run by this process's helper, over its IPC channel: the child's side of `serveSpawn`. */
export function remoteSpawn(): Spawn {
  const pending = new Map<number, Pending>();
  let lastId = 0;
  const call = (message: SpawnCall) => void sendMessage(process, message);
  receiveMessages(process, spawnAnswerSchema, (answer, socket) => {
    const entry = pending.get(answer.id);
    if (!entry) return;
    if (answer.type === 'spawn.stream') {
      entry.streams[answer.name] = socket as Socket;
      if (answer.name === 'stderr') entry.onStarted(answer.uid); // the last of the three
    } else {
      pending.delete(answer.id);
      if (answer.type === 'spawn.refused') entry.onRefused(new FumehoodError(answer.error));
      else
        entry.onExited({
          code: answer.code,
          signal: answer.signal as NodeJS.Signals | null,
          timedOut: answer.timedOut,
        });
    }
  });
  // The programs of a helper that died are dead too: bwrap runs with --die-with-parent.
  process.once('disconnect', () => {
    for (const entry of pending.values()) {
      entry.onRefused(spawnFailed(entry.label, 'the helper of this process is gone'));
      entry.onExited({ code: null, signal: 'SIGKILL', timedOut: false });
    }
    pending.clear();
  });
  return (request) =>
    new Promise<SpawnedProcess>((resolve, reject) => {
      if (!process.connected)
        return reject(spawnFailed(request.label, 'this process has no helper that could run it'));
      const checked = spawnRequestSchema.safeParse(request);
      if (!checked.success) return reject(spawnFailed(request.label, z.prettifyError(checked.error)));
      const id = ++lastId;
      const { promise: exited, resolve: onExited } = Promise.withResolvers<ExitStatus>();
      const streams: Pending['streams'] = {};
      pending.set(id, {
        label: request.label,
        streams,
        onExited,
        onRefused: reject,
        onStarted(uid) {
          const { stdin, stdout, stderr } = streams as Required<Pending['streams']>;
          stdin.on('error', () => {}); // the exit status says whether the program needed its stdin
          resolve({ uid, stdin, stdout, stderr, exited, kill: () => call({ type: 'spawn.kill', id }) });
          call({ type: 'spawn.go', id });
        },
      });
      call({ type: 'spawn.start', id, request: checked.data });
    });
}
