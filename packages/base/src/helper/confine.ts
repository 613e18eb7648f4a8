import { dirname } from 'node:path';

/** What the C library needs to find the address of a name. */
const nameFiles = ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf'];

/**
 * Returns the beginning of a command that confines a script: bwrap, which shows it nothing of the host's files but /usr, what names need, Node,
 * the script's directory and its configuration, all of them read-only, and no process but its own. It has the host's network. It waits for a filter of
 * system calls on the descriptor `filter`, and dies with its parent.
 */
export function confined(
  { node, script, config }: { readonly node: string; readonly script: string; readonly config: string },
  filter: number,
): string[] {
  const shown = (path: string) => ['--ro-bind', path, path];
  return [
    ...['/usr/bin/bwrap', '--die-with-parent', '--new-session', '--as-pid-1'],
    ...['user', 'pid', 'ipc', 'uts', 'cgroup'].map((name) => `--unshare-${name}`),
    ...['--disable-userns', '--cap-drop', 'ALL', '--seccomp', String(filter)],
    ...shown('/usr'),
    ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
    ...['--proc', '/proc', '--dev', '/dev'],
    ...nameFiles.flatMap((path) => ['--ro-bind-try', path, path]),
    ...[node, dirname(script), config].flatMap(shown),
    ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', '/', '--'],
  ];
}
