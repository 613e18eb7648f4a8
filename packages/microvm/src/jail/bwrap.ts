import { seccompFilter } from '@fumehood/base';

/** What a VMM finds in its jail. */
export interface JailContents {
  /** Device nodes; by default none. */
  readonly devices?: readonly string[];
  /** The only file of the host: a static program. By default the jail has the programs, libraries and firmware of the host. */
  readonly program?: string;
  /** The descriptor of the working directory; by default it is the root. */
  readonly directory?: number;
  /** Whether it stays in the network namespace in which it is started, which is that of its guest's tap. By default it has one of its own. */
  readonly keepsNetwork?: boolean;
  /** The descriptor from which bubblewrap reads the seccomp filter (`jailFilter`). The VMM adds its own to it. */
  readonly filter: number;
}

const libraries = [
  ...['--ro-bind', '/usr/bin', '/usr/bin'],
  ...['--ro-bind', '/usr/lib', '/usr/lib'],
  ...['--ro-bind', '/usr/share', '/usr/share'],
  ...['--symlink', 'usr/lib', '/lib'],
  ...['--symlink', 'usr/lib64', '/lib64'],
  ...['--ro-bind-try', '/usr/lib64', '/usr/lib64'],
  ...['--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'],
];

/**
 * Returns the bubblewrap command that runs a VMM in its jail (docs/invariants.md, 6): every namespace is its own, there is no
 * network but, for a VMM that opens a tap, the namespace of the tap, the only files of the host are the read-only ones that the VMM needs, nothing is writable but the working directory, if there is one, and the
 * environment is empty. The launcher that runs this command sets the uid, the empty bounding set, no-new-privs, the limits and the
 * cgroup.
 */
export function jailArguments(
  command: readonly string[],
  { devices = [], program, directory, keepsNetwork = false, filter }: JailContents,
): string[] {
  const own = ['user', 'pid', 'ipc', 'uts', 'cgroup', ...(keepsNetwork ? [] : ['net'])];
  const namespaces = own.map((name) => `--unshare-${name}`);
  return [
    '/usr/bin/bwrap',
    '--die-with-parent',
    '--new-session',
    '--as-pid-1',
    ...namespaces,
    '--disable-userns',
    ...['--seccomp', String(filter)],
    '--clearenv',
    ...(program === undefined ? libraries : ['--ro-bind', program, program]),
    ...['--proc', '/proc'],
    ...['--dev', '/dev'],
    ...devices.flatMap((device) => ['--dev-bind', device, device]),
    // Bubblewrap makes these file systems in memory, writable and without a size limit.
    ...['--remount-ro', '/dev'],
    ...['--remount-ro', '/'],
    ...['--chdir', directory === undefined ? '/' : `/proc/self/fd/${directory}`],
    '--',
    ...command,
  ];
}

/**
 * Returns the seccomp filter of every VMM, whatever filter the VMM brings itself. A VMM opens no socket: it inherits those that it
 * needs. Sockets between its own processes and files of the jail (AF_UNIX) would reach nobody.
 */
export function jailFilter(): Buffer {
  return seccompFilter(['unix']);
}
