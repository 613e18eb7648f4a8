import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { SystemUser } from '../db/server/start.ts';
import { userFailed } from '../errors.ts';

/** A user of this machine by its name, from the file that `useradd` writes. */
function findUser(name: string): SystemUser | undefined {
  const fields = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find((parts) => parts[0] === name);
  return fields && { name, uid: Number(fields[2]), gid: Number(fields[3]) };
}

/** A user without a home, a shell or a password; made when there is none. Errors: `user_failed`. */
function systemUser(name: string): SystemUser {
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

/** Who runs what: with root, each its own user; without, all of them ourselves. */
export interface InstanceUsers {
  readonly admin: string;
  readonly instance: SystemUser;
  /** Null without root. */
  readonly postgres: SystemUser | null;
  readonly root: boolean;
}

export function instanceUsers(): InstanceUsers {
  const { username, uid, gid } = userInfo();
  if (uid !== 0)
    return { admin: username, instance: { name: username, uid, gid }, postgres: null, root: false };
  return {
    admin: username,
    instance: systemUser('fumehood'),
    postgres: findUser('postgres') ?? systemUser('fumehood-postgres'),
    root: true,
  };
}
