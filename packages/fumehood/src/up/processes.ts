import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '@fumehood/base';
import { notStarted } from '../errors.ts';

/** A program that goes on when this command has ended. */
export interface Daemon {
  readonly what: string;
  readonly node: string;
  readonly script: string;
  /** Its configuration file, its one argument. */
  readonly config: string;
  readonly log: string;
}

/** A first start makes a database; a machine that is busy takes its time. */
const patienceMs = 60_000;

/** Starts it and waits until `look` finds it at work. Errors: `not_started` with the last thing it said. */
export async function startDaemon<T>(
  daemon: Daemon,
  clock: Clock,
  look: () => Promise<T | null>,
): Promise<T> {
  await mkdir(dirname(daemon.log), { recursive: true });
  const from = openSync(daemon.log, 'a', 0o640);
  const child = spawn(daemon.node, [daemon.script, daemon.config], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', from, from],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
  });
  closeSync(from);
  child.unref();
  const giveUpAt = clock.bootTime() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (ended(child)) throw notStarted(daemon.what, lastWords(daemon.log), daemon.log);
    if (clock.bootTime() > giveUpAt) {
      child.kill('SIGTERM');
      throw notStarted(daemon.what, `it did not answer within ${patienceMs / 1000} s`, daemon.log);
    }
    await clock.sleep(20);
  }
}

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

/** What it said to people before it ended; the log's lines for machines are left out. */
function lastWords(log: string): string {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  const at = lines.findLastIndex((line) => line.startsWith('fumehood: '));
  return at < 0 ? (lines.at(-1) ?? 'it said nothing') : lines.slice(at).join('\n').slice('fumehood: '.length);
}
