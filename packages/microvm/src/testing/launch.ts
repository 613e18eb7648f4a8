import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { systemClock } from '@fumehood/base';
import { vi } from 'vitest';
import { jailFilter } from '../jail/bwrap.ts';

/** Numbers of the launcher's descriptors. `file` is a file of the test, `memory` the last that the launcher knows of. */
export const descriptors = { lease: 3, status: 4, filter: 5, file: 6, memory: 7 } as const;

/** Without root, tests can neither change ids nor make cgroups. */
export const isRoot = process.getuid?.() === 0;

/** A running launcher with a plain program in place of the VMM. */
export interface Launched {
  readonly pid: number;
  readonly lease: Socket;
  /** Resolves at its end with everything that it wrote to its status stream. */
  readonly status: Promise<string>;
  /** Resolve at the end with everything that the launcher and its command wrote. */
  readonly stdout: Promise<string>;
  readonly stderr: Promise<string>;
  readonly exitCode: Promise<number | null>;
  /** Renews the lease until `ms` from now, and returns this deadline. */
  renew(ms: number): number;
  /** Resolves with the process id of its child, once there is one. */
  child(): Promise<number>;
  kill(): void;
}

export interface LaunchOptions {
  /** The size of the guest's memory. */
  readonly memoryMiB?: number;
  readonly extra?: readonly string[];
  /** Bytes of the largest file that the command may make. */
  readonly fileBytes?: number;
  /** Processes that the command's user may have. */
  readonly processes?: number;
  /** The seccomp filter that bubblewrap reads. */
  readonly filter?: Buffer;
  /** Descriptors of this process that the launcher inherits: one that it knows of, and one that it does not know of. */
  readonly file?: number;
  readonly stray?: number;
}

/** Starts a launcher as `startVm` does. */
export function launch(launcher: string, command: readonly string[], options: LaunchOptions = {}): Launched {
  const { memoryMiB = 8, extra = [], fileBytes = 2 ** 24, processes = 100 } = options;
  const { lease, status, filter, memory } = descriptors;
  const flags = [
    ...['--lease', String(lease), '--status', String(status), '--memory', `${memoryMiB}:${memory}`],
    ...['--limits', `${fileBytes}:${processes}`],
  ];
  const started = spawn(launcher, [...flags, ...extra, '--', ...command], {
    env: {},
    cwd: '/',
    stdio: [
      ...(['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'] as const),
      ...[options.file ?? ('ignore' as const), 'ignore' as const, options.stray ?? ('pipe' as const)],
    ],
  });
  const sockets = started.stdio as unknown as Socket[];
  sockets[filter]?.on('error', () => {}).end(options.filter ?? jailFilter());
  const socket = sockets[lease] as Socket;
  socket.on('error', () => {}); // a launcher that has ended reads no more lines
  const pid = started.pid as number;
  return {
    pid,
    lease: socket,
    status: text(started.stdio[status] as Socket),
    stdout: text(started.stdout as Socket),
    stderr: text(started.stderr as Socket),
    exitCode: new Promise((resolve) => started.once('exit', resolve)),
    renew(ms) {
      const deadline = systemClock.bootTime() + ms;
      socket.write(`R ${deadline}\n`);
      return deadline;
    },
    child: () => vi.waitUntil(() => childrenOf(pid)[0], { timeout: 20_000 }),
    kill: () => void started.kill('SIGKILL'),
  };
}

/** Returns the ids of the processes of any user whose command line contains this word. */
export function processesNaming(word: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
          .split(/[^a-z0-9-]+/)
          .includes(word);
      } catch {
        return false; // the process has ended
      }
    })
    .map(Number);
}

/** Returns the process ids of a process's children. */
export function childrenOf(pid: number): number[] {
  try {
    const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return list.split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // the process has ended
  }
}

/** Returns the value of a line in a process's status: `statusOf(1, 'Uid')` is `0 0 0 0`. */
export function statusOf(pid: number, name: string): string {
  const line = new RegExp(`^${name}:(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return (line?.[1] ?? '').trim().replaceAll(/\s+/g, ' ');
}

/** Returns a process's soft and hard limit: `limitOf(1, 'Max core file size')` is `0 0`. */
export function limitOf(pid: number, name: string): string {
  const line = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(
    readFileSync(`/proc/${pid}/limits`, 'latin1'),
  );
  return `${line?.[1]} ${line?.[2]}`;
}
