import { type ChildProcessByStdio, execFile, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { Identity } from '../identity.ts';
import { collect } from '../collect.ts';
import type { ExitStatus, Spawn, SpawnRequest } from '../spawn/spawn.ts';

/** What a process of `parent.ts` runs, on its stdin as JSON. */
export interface ParentOrder {
  readonly identity: Identity;
  readonly request: SpawnRequest;
  /** `gated` leaves the gate closed and prints `waiting`; `opened` opens it and prints the same at once. */
  readonly how: 'profile' | 'gated' | 'opened' | 'plain';
}

/** Compiles `hostile.c` statically, so that it runs in a sandbox without its libraries. */
export async function compileHostile(file: string): Promise<void> {
  const source = `${import.meta.dirname}/hostile.c`;
  await promisify(execFile)('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-static', '-o', file, source]);
}

/** Returns a `Spawn` without the defence: it starts plain child processes, as this identity or with null as the current user. */
export function plainSpawn(identity: Identity | null): Spawn {
  return async ({ program, args, env, cwd }) => {
    const child = spawn(program, args, { ...identity, cwd, env: { ...process.env, ...env } });
    const exited = once(child, 'exit').then(
      ([code, signal]): ExitStatus => ({ code, signal, timedOut: false }),
    );
    const { stdin, stdout, stderr } = child as { stdin: Writable; stdout: Readable; stderr: Readable };
    const uid = identity?.uid ?? process.getuid?.() ?? 0;
    return { uid, stdin, stdout, stderr, exited, kill: () => child.kill('SIGKILL') };
  };
}

/** Runs an attack and returns its output, or how it ended and its stderr if it did not exit with 0. */
export async function outcome(spawn: Spawn, request: Omit<SpawnRequest, 'label'>): Promise<string> {
  const { stdin, stdout, stderr, exited } = await spawn({ label: 'hostile', ...request });
  stdin.end();
  const [output, complaint, status] = await Promise.all([
    collect(stdout, 1 << 20),
    collect(stderr, 1 << 20),
    exited,
  ]);
  return status.code === 0
    ? output.toString().trimEnd()
    : `${status.code ?? status.signal}: ${complaint.toString()}`;
}

/** Returns the pids of the processes of a uid that are not dead. */
export function living(uid: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (Number.isNaN(pid)) return false;
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'latin1');
        return status.includes(`\nUid:\t${uid}\t`) && !/^State:\t[ZX]/m.test(status);
      } catch {
        return false; // the process has just ended
      }
    });
}

/** An identity that nothing else on this machine has, not even another run of the same test. */
export const testIdentity: Identity = { uid: 1_900_200_000 + process.pid, gid: process.getgid?.() ?? 0 };

/** Starts `parent.ts`. It inherits `inherited` as its descriptor 40. */
export function startParent(
  order: ParentOrder,
  inherited?: number,
): ChildProcessByStdio<Writable, Readable, null> {
  const stdio: StdioOptions = ['pipe', 'pipe', 'inherit'];
  if (inherited !== undefined) stdio.push(...Array<'ignore'>(37).fill('ignore'), inherited);
  const child = spawn(process.execPath, [`${import.meta.dirname}/parent.ts`], { stdio });
  child.stdin?.end(JSON.stringify(order));
  return child as ChildProcessByStdio<Writable, Readable, null>;
}
