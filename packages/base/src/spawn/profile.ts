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

/** Largest content of /tmp, which is memory. */
const temporaryBytes = 256 * 2 ** 20;

/** Descriptors that the profile needs besides stdin, stdout and stderr. */
export const profileDescriptors = { seccomp: 3, environment: 4, gate: 5, facts: 6 } as const;

/**
 * Process 1 inside: with its end the kernel ends every other one, before anybody is told of it. Without the gate's word the
 * caller is dead, and nothing begins.
 */
const supervisor = `read -r go <&${profileDescriptors.gate} || exit 125
exec ${profileDescriptors.gate}<&-
"$@"
exit $?`;

export interface ProfileCommand {
  readonly command: readonly [string, ...string[]];
  /** Arguments that bwrap reads from its descriptor: a command line is for everybody on the host to read. */
  readonly environment: string;
}

/**
 * The command line of a request: uid, limits and privileges first, then namespaces and what is visible. The program waits until
 * a line can be read from the gate's descriptor.
 */
export function profileCommand(request: SpawnRequest, identity: Identity | null): ProfileCommand {
  const limits = { ...defaultLimits, ...request.limits };
  const command = [
    ...[`--nofile=${limits.files}`, `--fsize=${limits.fileBytes}`, '--core=0'],
    ...(limits.memoryBytes > 0 ? [`--as=${limits.memoryBytes}`] : []),
    ...['/usr/bin/setpriv', ...identityFlags(identity), '--'],
    ...['/usr/bin/bwrap', '--die-with-parent', '--new-session', '--as-pid-1'],
    ...['user', 'pid', 'ipc', 'uts', 'net', 'cgroup'].map((name) => `--unshare-${name}`),
    ...['--disable-userns', '--seccomp', String(profileDescriptors.seccomp)],
    ...['--info-fd', String(profileDescriptors.facts)],
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
    // Memory too, and of no use to anybody: what is written goes to /tmp or to a bind.
    ...['--remount-ro', '/dev', '--remount-ro', '/'],
    ...['--chdir', request.cwd ?? '/tmp', '--', '/bin/sh', '-c', supervisor, 'sh'],
    // Counted in here, where they are this program's and not its uid's.
    ...['/usr/bin/prlimit', `--nproc=${limits.processes}`, '--', request.program, ...request.args],
  ];
  return { command: ['/usr/bin/prlimit', ...command], environment: environmentOf(request) };
}

function environmentOf({ label, env }: SpawnRequest): string {
  const environment = { PATH: '/usr/bin:/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8', ...env };
  return Object.entries(environment)
    .flatMap(([name, value]) => ['--setenv', name, value])
    .map((argument) => {
      // It would end the argument, and what follows would be an option.
      if (argument.includes('\0')) throw spawnFailed(label, 'its environment holds a NUL');
      return `${argument}\0`;
    })
    .join('');
}
