import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchDatabase } from '../server.ts';
import type { BeatsAnswer, BeatsOrder } from './beats.ts';
import type { InstanceReady, InstanceUsage } from './instance.ts';

/** A process ends itself when its channel closes; one that does not is killed. */
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

/** Its answer to a message. Errors: when it ends instead. */
async function ask<T>(child: ChildProcess, message: object): Promise<T> {
  const heard = new AbortController();
  const { signal } = heard;
  try {
    const exited = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`a process of the bench ended with ${code}`);
    });
    const answered = once(child, 'message', { signal }).then(([answer]) => answer as T);
    child.send(message);
    return await Promise.race([answered, exited]);
  } finally {
    heard.abort();
  }
}

/** An instance in a process of its own. */
export async function startInstanceProcess(left: AsyncDisposableStack, database: BenchDatabase) {
  const child = fork(join(import.meta.dirname, 'instance.ts'));
  left.defer(() => end(child));
  return {
    ready: await ask<InstanceReady>(child, { connection: database }),
    /** What it has used since it started. */
    usage: () => ask<InstanceUsage>(child, { usage: true }),
    stop: () => end(child),
  };
}

/** Has executors beat from a process of their own. */
export async function runBeats(left: AsyncDisposableStack, order: BeatsOrder) {
  const child = fork(join(import.meta.dirname, 'beats.ts'));
  left.defer(() => end(child));
  try {
    return await ask<BeatsAnswer>(child, order);
  } finally {
    await end(child);
  }
}
