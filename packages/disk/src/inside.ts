import { spawn } from 'node:child_process';
import type { ExitStatus, Spawn } from '@fumehood/base';

/** Address space of a program that does not state its own, bytes: as under the profile. */
const defaultMemoryBytes = 4 * 2 ** 30;

/**
 * Starts a program beside this process, which is in a sandbox itself: under the same uid, in the same namespaces, with the same
 * filter. Of the request's limits, only the memory is applied; the deadline is that of this process. Nothing is bound.
 */
export const spawnInside: Spawn = ({ program, args, env, limits }) => {
  const bytes = limits?.memoryBytes ?? defaultMemoryBytes;
  const limited =
    bytes > 0 ? ['/usr/bin/prlimit', `--as=${bytes}`, '--', program, ...args] : [program, ...args];
  const [command, ...rest] = limited as [string, ...string[]];
  const child = spawn(command, rest, {
    env: { PATH: '/usr/bin:/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8', ...env },
    stdio: 'pipe',
  });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('error', () => resolve({ code: 127, signal: null, timedOut: false }));
    child.once('exit', (code, signal) => resolve({ code, signal, timedOut: false }));
  });
  child.stdin.on('error', () => {}); // the exit status says whether the program needed its stdin
  const { stdin, stdout, stderr } = child;
  const uid = process.getuid?.() ?? 0;
  return Promise.resolve({ uid, stdin, stdout, stderr, exited, kill: () => void child.kill('SIGKILL') });
};
