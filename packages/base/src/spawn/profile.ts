import { readFileSync } from 'node:fs';
import { type Identity, identityFlags } from '../identity.ts';
import { spawnFailed } from './errors.ts';
import type { SpawnRequest } from './spawn.ts';

export const defaultLimits = {
  timeMs: 600_000,
  memoryBytes: 4 * 2 ** 30,
  fileBytes: 16 * 2 ** 30,
  files: 1024,
  processes: 1024,
} as const;

/** The size of /tmp, a tmpfs. */
const temporaryBytes = 256 * 2 ** 20;

/** The descriptors that the profile needs besides stdin, stdout and stderr. */
export const profileDescriptors = { seccomp: 3, environment: 4, gate: 5, ready: 6 } as const;

/**
 * The script of process 1 inside. When it ends, the kernel kills every other process inside, before bwrap sees the end. It says when
 * it is there: from then on it dies with bwrap. If the gate is closed without a line, the caller is dead, and the program is not
 * started.
 */
const firstProcess = `echo >&${profileDescriptors.ready} || exit 125
exec ${profileDescriptors.ready}>&-
read -r go <&${profileDescriptors.gate} || exit 125
exec ${profileDescriptors.gate}<&-
"$@"
exit $?`;

export interface ProfileCommand {
  readonly command: readonly [string, ...string[]];
  /** Further arguments, which bwrap reads from a descriptor: everybody on the host can read a command line. */
  readonly environment: string;
}

/**
 * Returns the command line that runs a request under the profile: limits first, then identity, namespaces, and what is visible
 * inside. The program waits until a line can be read from the descriptor of its gate.
 */
export function profileCommand(request: SpawnRequest, identity: Identity | null): ProfileCommand {
  const limits = { ...defaultLimits, ...request.limits };
  const own = hardLimits(readFileSync('/proc/self/limits', 'latin1'));
  const files = Math.min(limits.files, own('Max open files'));
  const fileBytes = Math.min(limits.fileBytes, own('Max file size'));
  const memoryBytes = Math.min(limits.memoryBytes, own('Max address space'));
  const command = [
    ...[`--nofile=${files}`, `--fsize=${fileBytes}`, '--core=0'],
    ...(memoryBytes > 0 ? [`--as=${memoryBytes}`] : []),
    ...['/usr/bin/setpriv', ...identityFlags(identity), '--'],
    ...['/usr/bin/bwrap', '--die-with-parent', '--new-session', '--as-pid-1'],
    ...['user', 'pid', 'ipc', 'uts', 'net', 'cgroup'].map((name) => `--unshare-${name}`),
    ...['--disable-userns', '--cap-drop', 'ALL', '--seccomp', String(profileDescriptors.seccomp)],
    ...['--clearenv', '--args', String(profileDescriptors.environment)],
    ...['--ro-bind', '/usr', '/usr'],
    ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
    ...['--proc', '/proc', '--dev', '/dev'],
    ...['--perms', '1777', '--size', String(temporaryBytes), '--tmpfs', '/tmp'],
    ...(request.binds ?? []).flatMap(({ source, target, mode }) => [
      mode === 'rw' ? '--bind' : '--ro-bind',
      source,
      target,
    ]),
    // Both are tmpfs, and so memory without a limit: a program writes to /tmp or to a bind.
    ...['--remount-ro', '/dev', '--remount-ro', '/'],
    ...['--chdir', request.cwd ?? '/tmp', '--', '/bin/sh', '-c', firstProcess, 'sh'],
    // Set inside: in the sandbox's user namespace, RLIMIT_NPROC counts this program's processes and not all of the uid's.
    ...[
      '/usr/bin/prlimit',
      `--nproc=${Math.min(limits.processes, own('Max processes'))}`,
      '--',
      request.program,
      ...request.args,
    ],
  ];
  return { command: ['/usr/bin/prlimit', ...command], environment: environmentArguments(request) };
}

/**
 * Reads the hard limits of a process from the text of its `/proc/PID/limits`: the limit of this name, or infinity. A program gets no
 * higher one, because only root in the host's first user namespace could raise it.
 */
function hardLimits(text: string): (name: string) => number {
  return (name) => {
    const [, hard] = new RegExp(`^${name} +\\S+ +(\\S+)`, 'm').exec(text) ?? [];
    return hard === undefined || hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
  };
}

function environmentArguments({ label, env }: SpawnRequest): string {
  const environment = { PATH: '/usr/bin:/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8', ...env };
  return Object.entries(environment)
    .flatMap(([name, value]) => ['--setenv', name, value])
    .map((argument) => {
      // A NUL would end the argument, and bwrap would read what follows as an option.
      if (argument.includes('\0')) throw spawnFailed(label, 'its environment contains a NUL');
      return `${argument}\0`;
    })
    .join('');
}
