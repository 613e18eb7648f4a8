import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { SystemUser } from '../db/server/start.ts';
import { userFailed } from '../start-errors.ts';

/** Returns the user of this name, if there is one, from /etc/passwd. */
function findUser(name: string): SystemUser | undefined {
  const fields = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find((parts) => parts[0] === name);
  return fields && { name, uid: Number(fields[2]), gid: Number(fields[3]) };
}

/** Returns the user of this name; makes one without home, shell and password if there is none. Errors: `user_failed`. */
export function ensureUser(name: string): SystemUser {
  const found = findUser(name);
  if (found) return found;
  const made = spawnSync(
    'useradd',
    [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      name,
    ],
    { encoding: 'utf8' },
  );
  const user = made.status === 0 ? findUser(name) : undefined;
  if (!user) throw userFailed(name, made.error?.message ?? made.stderr.trim());
  return user;
}

/** The users of the instance's processes: with root, each process has its own; without, all run as the current user. */
export interface InstanceUsers {
  /** The name of the user of the helper itself. */
  readonly admin: string;
  readonly instance: SystemUser;
  /** Null without root. */
  readonly postgres: SystemUser | null;
  readonly root: boolean;
}

/** Returns the users of the instance's processes; as root, makes those that are missing. Errors: `user_failed`. */
export function instanceUsers(): InstanceUsers {
  const { username, uid, gid } = userInfo();
  if (uid !== 0)
    return { admin: username, instance: { name: username, uid, gid }, postgres: null, root: false };
  return {
    admin: username,
    instance: ensureUser('fumehood'),
    postgres: findUser('postgres') ?? ensureUser('fumehood-postgres'),
    root: true,
  };
}
