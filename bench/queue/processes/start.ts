import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchDatabase } from '../server.ts';
import type { HeartbeatFigures, HeartbeatPlan } from './heartbeats.ts';
import type { InstanceReady, InstanceUsage } from './instance.ts';

/** Ends a process by closing its channel, and kills it if it does not exit within 10 s. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  if (child.connected) child.disconnect();
  const patience = new AbortController();
  await Promise.race([
    exited,
    delay(10_000, undefined, { signal: patience.signal }).then(() => {
      child.kill('SIGKILL');
      return exited;
    }),
  ]);
  patience.abort();
}

/** Sends a message to a process and returns its answer. Rejects when the process exits instead. */
async function ask<T>(child: ChildProcess, message: object): Promise<T> {
  const done = new AbortController();
  const { signal } = done;
  try {
    const exited = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`a process of the bench ended with ${code}`);
    });
    const answered = once(child, 'message', { signal }).then(([answer]) => answer as T);
    child.send(message);
    return await Promise.race([answered, exited]);
  } finally {
    done.abort();
  }
}

/** Starts an instance in its own process. */
export async function startInstanceProcess(cleanup: AsyncDisposableStack, database: BenchDatabase) {
  const child = fork(join(import.meta.dirname, 'instance.ts'));
  cleanup.defer(() => end(child));
  return {
    ready: await ask<InstanceReady>(child, { connection: database }),
    /** Returns the CPU time and memory that the process has used so far. */
    usage: () => ask<InstanceUsage>(child, { usage: true }),
    stop: () => end(child),
  };
}

/** Sends the heartbeats of many executors from one separate process. */
export async function sendHeartbeats(cleanup: AsyncDisposableStack, plan: HeartbeatPlan) {
  const child = fork(join(import.meta.dirname, 'heartbeats.ts'));
  cleanup.defer(() => end(child));
  try {
    return await ask<HeartbeatFigures>(child, plan);
  } finally {
    await end(child);
  }
}
