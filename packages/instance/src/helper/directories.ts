import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownedDirectory, trustedUids, untrustedPart } from '@fumehood/base';
import type { InstanceConfig } from '../config.ts';
import { sharedUnusable } from '../start-errors.ts';
import type { HelperConfig } from './config.ts';
import { writeAtomically } from './secrets.ts';
import type { InstanceUsers } from './users.ts';

export type Directories = Pick<InstanceConfig, 'directories' | 'replica' | 'socket'>;

/**
 * Makes the instance's directories, and `run/`, which everybody may enter: the mode of each file in it says who may read the file.
 * Errors: `shared_unusable`.
 */
export function makeDirectories(
  { state, shared, databaseUrl }: HelperConfig,
  { root, instance }: InstanceUsers,
): Directories {
  if (shared !== null && databaseUrl === null)
    throw sharedUnusable(shared, 'the instance has a database of its own: set DATABASE_URL or `databaseUrl`');
  if (shared !== null) checkShared(shared, [...trustedUids(), instance.uid]);
  const owner = root ? instance : null;
  ownedDirectory(state, 0o755, null);
  ownedDirectory(join(state, 'run'), 0o755, null);
  // Git, which runs as another user with the instance's group, enters the directories on the way to a repository. Nobody else can.
  const mode = owner ? 0o710 : 0o700;
  const directory = ownedDirectory(join(state, 'instance'), mode, owner);
  const files = shared ?? directory;
  return {
    directories: {
      blobs: ownedDirectory(join(files, 'blobs'), 0o700, owner),
      repositories: ownedDirectory(join(files, 'repositories'), mode, owner),
    },
    replica: replicaName(join(directory, 'replica')),
    // Nobody but root and the instance can write to this directory, which tells clients that the socket is the instance's.
    socket: join(ownedDirectory(join(state, 'run/instance'), 0o755, owner), 'socket'),
  };
}

/** The admin makes the directory: one that is missing may be a file system that is not mounted. */
function checkShared(shared: string, trusted: readonly number[]): void {
  if (!existsSync(shared)) throw sharedUnusable(shared, 'it does not exist');
  const untrusted = untrustedPart(shared, trusted);
  if (untrusted !== null) throw sharedUnusable(shared, `other users can change ${untrusted}`);
}

/** Returns the name of the replica with this state directory, which it keeps in a file. */
function replicaName(file: string): string {
  if (!existsSync(file)) writeAtomically(file, randomBytes(8).toString('hex'), 0o600);
  return readFileSync(file, 'utf8');
}
