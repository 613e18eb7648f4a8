import { readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FumehoodError } from '../errors.ts';

const others = 0o022;
const sticky = 0o1000;

/** Root and the user of this process: nobody can be defended against either. */
export const trustedUids = (): number[] => [0, process.getuid?.() ?? 0];

/**
 * Returns what is above `path`, or `path` itself, if a user that is not trusted could replace or change it; null if there is none.
 * `path` is a real path. In a directory with the sticky bit, such as /tmp, nobody can replace what others own.
 */
export function untrustedPart(path: string, trusted: readonly number[]): string | null {
  const parent = dirname(path);
  const above = parent === path ? null : untrustedPart(parent, trusted);
  if (above !== null) return above;
  const stats = statSync(path);
  const isSafe = trusted.includes(stats.uid) && (!isOpen(stats) || (stats.mode & sticky) !== 0);
  return isSafe ? null : path;
}

const isOpen = ({ mode }: Stats) => (mode & others) !== 0;

/**
 * The account of an instance that is a service of this machine, which `fumehood instance install` and the Debian package make. It has the
 * credentials of whoever asks the instance, so it may own the instance's socket.
 */
function instanceUids(): number[] {
  const account = /^fumehood:[^:]*:(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
  return account ? [Number(account[1])] : [];
}

/**
 * Returns the real path of a unix socket on which nobody but its service can listen: a trusted user made its directory, and nobody
 * but the directory's owner can write to it. A port proves nothing of the kind: when its service is dead, any user of this machine
 * can listen on it. Errors: `instance_unproved`, and those of the file system.
 */
export function provenSocket(
  path: string,
  trusted: readonly number[] = [...trustedUids(), ...instanceUids()],
): string {
  const directory = realpathSync(dirname(path));
  const parent = dirname(directory);
  const open = [parent, directory].find((each) => isOpen(statSync(each)));
  const untrusted = untrustedPart(parent, trusted) ?? open;
  if (untrusted !== undefined) throw instanceUnproved(path, untrusted);
  return join(directory, path.slice(dirname(path).length + 1));
}

const instanceUnproved = (socket: string, directory: string) =>
  new FumehoodError({
    code: 'instance_unproved',
    message: `the instance at ${socket} gets no credential: another user of this machine may write to ${directory}, and so could take the instance's place`,
    remedy: `Make root the owner of ${directory} and run \`chmod go-w ${directory}\`, or set FUMEHOOD_STATE to another directory.`,
  });
