/**
 * Returns the bubblewrap command that runs a VMM in its jail (docs/invariants.md, 6): every namespace is its own, there is no
 * network, the only files of the host are the read-only libraries and firmware that the VMM needs, nothing is writable, and the
 * environment is empty. The launcher that runs this command sets the uid, the empty bounding set, no-new-privs and the cgroup;
 * the VMM installs its own seccomp filter.
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
    // Bubblewrap makes these file systems in memory, writable and without a size limit.
    ...['--remount-ro', '/dev'],
    ...['--remount-ro', '/'],
    ...['--chdir', '/'],
    '--',
    ...command,
  ];
}
