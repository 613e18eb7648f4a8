/**
 * The VMM's jail as bubblewrap arguments: every namespace of its own, no network, nothing of the host's files but the
 * read-only libraries and firmware that the VMM needs, no place to write to, an empty environment. The uid, the empty
 * bounding set, no-new-privs and the cgroup come from the launcher that runs this; the VMM adds its own seccomp filter on
 * top (design invariant 6).
 */
export function jailArguments(command: readonly string[], devices: readonly string[]): string[] {
  const namespaces = ['user', 'pid', 'ipc', 'uts', 'net', 'cgroup'].map((name) => `--unshare-${name}`);
  return [
    '/usr/bin/bwrap',
    '--die-with-parent',
    '--new-session',
    '--as-pid-1',
    ...namespaces,
    '--disable-userns',
    '--clearenv',
    ...['--ro-bind', '/usr/bin', '/usr/bin'],
    ...['--ro-bind', '/usr/lib', '/usr/lib'],
    ...['--ro-bind', '/usr/share', '/usr/share'],
    ...['--symlink', 'usr/lib', '/lib'],
    ...['--symlink', 'usr/lib64', '/lib64'],
    ...['--ro-bind-try', '/usr/lib64', '/usr/lib64'],
    ...['--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'],
    ...['--proc', '/proc'],
    ...['--dev', '/dev'],
    ...devices.flatMap((device) => ['--dev-bind', device, device]),
    // What bubblewrap itself made are file systems in memory, writable and without a bound.
    ...['--remount-ro', '/dev'],
    ...['--remount-ro', '/'],
    ...['--chdir', '/'],
    '--',
    ...command,
  ];
}
