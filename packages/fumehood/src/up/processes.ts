import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '@fumehood/base';
import { notStarted } from '../errors.ts';
import { daemonEnvironment } from './become.ts';

/** A program that keeps running after this command has ended. */
export interface Daemon {
  /** Its name in error messages. */
  readonly what: string;
  readonly node: string;
  readonly script: string;
  /** Path of its configuration file, its only argument. */
  readonly config: string;
  readonly log: string;
}

/**
 * A first start makes a database, and a start after a crash waits up to a minute for the PostgreSQL of the run before, which writes
 * its memory to disk.
 */
const patienceMs = 120_000;

/** Starts a program and waits until `findReady` returns something. Errors: `not_started`, with the last error in its log. */
export async function startDaemon<T>(
  daemon: Daemon,
  clock: Clock,
  findReady: () => Promise<T | null>,
): Promise<T> {
  await mkdir(dirname(daemon.log), { recursive: true });
  const log = openSync(daemon.log, 'a', 0o640);
  const child = spawn(daemon.node, [daemon.script, daemon.config], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', log, log],
    env: daemonEnvironment,
  });
  closeSync(log);
  child.unref();
  let failure: string | null = null;
  child.once('error', ({ message }) => {
    failure = message; // there is no process that could write to the log
  });
  const found = await untilReady(daemon, () => hasEnded(child), clock, findReady).catch((error: unknown) => {
    child.kill('SIGTERM');
    throw error;
  });
  if (found === null) throw notStarted(daemon.what, failure ?? lastError(daemon.log), daemon.log);
  return found;
}

/**
 * Waits until `findReady` returns something, and returns it; null if the program ends before. Errors: `not_started` after two minutes,
 * and those of `findReady`.
 */
export async function untilReady<T>(
  { what, log }: Pick<Daemon, 'what' | 'log'>,
  isOver: () => boolean,
  clock: Clock,
  findReady: () => Promise<T | null>,
): Promise<T | null> {
  const giveUpAt = clock.bootTime() + patienceMs;
  for (;;) {
    const found = await findReady();
    if (found !== null) return found;
    if (isOver()) return null;
    if (clock.bootTime() > giveUpAt)
      throw notStarted(what, `it did not answer within ${patienceMs / 1000} s`, log);
    await clock.sleep(20);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

/** Returns the last error in a log that is written for people, or else its last line. */
function lastError(log: string): string {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  const start = lines.findLastIndex((line) => line.startsWith('fumehood: '));
  return start < 0
    ? (lines.at(-1) ?? 'it wrote nothing to its log')
    : lines.slice(start).join('\n').slice('fumehood: '.length);
}
