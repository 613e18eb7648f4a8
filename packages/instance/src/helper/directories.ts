import { join } from 'node:path';
import { ownedDirectory } from '@fumehood/base';
import type { InstanceConfig } from '../config.ts';
import type { HelperConfig } from './config.ts';
import type { InstanceUsers } from './users.ts';

export type Directories = Pick<InstanceConfig, 'directories' | 'socket'>;

/**
 * Makes the instance's directories, and `run/`, which everybody may enter: the mode of each file in it says who may read the file.
 */
export function makeDirectories({ state }: HelperConfig, { root, instance }: InstanceUsers): Directories {
  const owner = root ? instance : null;
  ownedDirectory(state, 0o755, null);
  ownedDirectory(join(state, 'run'), 0o755, null);
  // Git, which runs as another user with the instance's group, enters the directories on the way to a repository. Nobody else can.
  const mode = owner ? 0o710 : 0o700;
  const directory = ownedDirectory(join(state, 'instance'), mode, owner);
  return {
    directories: {
      blobs: ownedDirectory(join(directory, 'blobs'), 0o700, owner),
      repositories: ownedDirectory(join(directory, 'repositories'), mode, owner),
    },
    // Nobody but root and the instance can write to this directory, which tells clients that the socket is the instance's.
    socket: join(ownedDirectory(join(state, 'run/instance'), 0o755, owner), 'socket'),
  };
}
