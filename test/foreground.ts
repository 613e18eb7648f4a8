import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Stack } from './stack.ts';

const checkout = join(import.meta.dirname, '../packages/fumehood/bin/fumehood.mjs');

/** A command that runs until it gets a signal. Its process becomes that of a helper and keeps its pid. */
export interface Foreground {
  readonly child: ChildProcess;
  /** Returns what it has written to stdout and stderr. */
  readonly log: () => string;
  /** Sends SIGTERM unless it has ended, and resolves with its exit code; null if a signal ended it. */
  readonly stop: () => Promise<number | null>;
}

/** How a command is started. */
export interface ForegroundOptions {
  /** Returns argv that runs a command elsewhere, e.g. in another network. */
  readonly enter?: (...argv: string[]) => string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The script of the command line; default: that of this checkout. */
  readonly command?: string;
}

/** Starts a command of a stack that runs until it gets SIGTERM. */
export function startCommand(
  stack: Stack,
  args: readonly string[],
  { enter = (...argv) => argv, env = {}, command = checkout }: ForegroundOptions = {},
): Foreground {
  const [program = '', ...rest] = enter(process.execPath, command, ...args);
  const child = spawn(program, rest, {
    env: { ...process.env, FUMEHOOD_STATE: stack.state, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
  return {
    child,
    log: () => log,
    async stop() {
      const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
      if (!hasEnded()) {
        const exited = once(child, 'exit');
        child.kill('SIGTERM');
        await exited;
      }
      return child.exitCode;
    },
  };
}
