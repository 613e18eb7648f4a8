import type { SpawnRequest } from './spawn.ts';

/** Who a program runs as. The gid is the caller's, so that shared directories work; the uid is nobody else's. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export const defaultLimits = {
  timeMs: 600_000,
  memoryBytes: 4 * 2 ** 30,
  fileBytes: 16 * 2 ** 30,
  files: 1024,
} as const;

/** Descriptors that the profile needs besides stdin, stdout and stderr. */
export const profileDescriptors = { seccomp: 3, gate: 4 } as const;

/**
 * The command line of a request: uid, limits and privileges first, then namespaces and what is visible. `gated` holds the
 * program back until something can be read from the gate's descriptor.
 */
export function profileCommand(request: SpawnRequest, identity: Identity | null, gated: boolean): string[] {
  const limits = { ...defaultLimits, ...request.limits };
  const privileges = identity
    ? [
        `--reuid=${identity.uid}`,
        `--regid=${identity.gid}`,
        '--clear-groups',
        '--inh-caps=-all',
        '--bounding-set=-all',
      ]
    : [];
  const environment = { PATH: '/usr/bin:/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8', ...request.env };
  return [
    ...['/usr/bin/prlimit', `--nofile=${limits.files}`, `--fsize=${limits.fileBytes}`, '--core=0'],
    ...(limits.memoryBytes > 0 ? [`--as=${limits.memoryBytes}`] : []),
    ...['/usr/bin/setpriv', '--no-new-privs', ...privileges, '--'],
    ...['/usr/bin/bwrap', '--die-with-parent', '--new-session'],
    ...['user', 'pid', 'ipc', 'uts', 'net', 'cgroup'].map((name) => `--unshare-${name}`),
    ...['--disable-userns', '--clearenv', '--seccomp', String(profileDescriptors.seccomp)],
    ...(gated ? ['--block-fd', String(profileDescriptors.gate)] : []),
    ...['--ro-bind', '/usr', '/usr'],
    ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
    ...['--proc', '/proc', '--dev', '/dev', '--perms', '1777', '--tmpfs', '/tmp'],
    ...(request.binds ?? []).flatMap(({ source, target, mode }) => [
      mode === 'rw' ? '--bind' : '--ro-bind',
      source,
      target,
    ]),
    ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
    ...['--chdir', request.cwd ?? '/tmp', '--', request.program, ...request.args],
  ];
}
