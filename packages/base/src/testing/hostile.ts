import { type ChildProcessByStdio, execFile, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { Identity } from '../identity.ts';
import { collect } from '../collect.ts';
import type { ExitStatus, Spawn, SpawnRequest } from '../spawn/spawn.ts';

/** What a process of `parent.ts` is to do. */
export interface Parenting {
  readonly identity: Identity;
  readonly request: SpawnRequest;
  /** `gated` leaves the gate closed and says `waiting`. */
  readonly how: 'profile' | 'gated' | 'plain';
}

/** Compiles `hostile.c`; static, so that it needs nothing of what it may see. */
export async function compileHostile(file: string): Promise<void> {
  const source = `${import.meta.dirname}/hostile.c`;
  await promisify(execFile)('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-static', '-o', file, source]);
}

/** The defence taken away: the same request as a plain child process, as this identity or, with `null`, as ourselves. */
export function plainSpawn(identity: Identity | null): Spawn {
  return async ({ program, args, env, cwd }) => {
    const child = spawn(program, args, { ...identity, cwd, env: { ...process.env, ...env } });
    const exited = once(child, 'exit').then(
      ([code, signal]): ExitStatus => ({ code, signal, timedOut: false }),
    );
    const { stdin, stdout, stderr } = child as { stdin: Writable; stdout: Readable; stderr: Readable };
    return { stdin, stdout, stderr, exited, kill: () => child.kill('SIGKILL') };
  };
}

/** What an attack came to: its words, or how it ended when it could not say any. */
export async function outcome(spawn: Spawn, request: Omit<SpawnRequest, 'label'>): Promise<string> {
  const { stdin, stdout, stderr, exited } = await spawn({ label: 'hostile', ...request });
  stdin.end();
  const [words, complaint, status] = await Promise.all([
    collect(stdout, 1 << 20),
    collect(stderr, 1 << 20),
    exited,
  ]);
  return status.code === 0
    ? words.toString().trimEnd()
    : `${status.code ?? status.signal}: ${complaint.toString()}`;
}

/** Processes of a uid that are not dead, by their ids. */
export function living(uid: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (Number.isNaN(pid)) return false;
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'latin1');
        return status.includes(`\nUid:\t${uid}\t`) && !/^State:\t[ZX]/m.test(status);
      } catch {
        return false; // it has just ended
      }
    });
}

/** A uid that nothing else on this machine has, not even another run of the same test. */
export const testIdentity: Identity = { uid: 1_900_200_000 + process.pid, gid: process.getgid?.() ?? 0 };

/** Starts `parent.ts`, with descriptor 40 open on a file of its own when one is named. */
export function startParent(
  parenting: Parenting,
  inherited?: number,
): ChildProcessByStdio<Writable, Readable, null> {
  const stdio: StdioOptions = ['pipe', 'pipe', 'inherit'];
  if (inherited !== undefined) stdio.push(...Array<'ignore'>(37).fill('ignore'), inherited);
  const child = spawn(process.execPath, [`${import.meta.dirname}/parent.ts`], { stdio });
  child.stdin?.end(JSON.stringify(parenting));
  return child as ChildProcessByStdio<Writable, Readable, null>;
}
