import { join } from 'node:path';
import { ownedDirectory } from '@fumehood/base';
import type { HelperConfig } from './config.ts';

export interface Directories {
  readonly disks: string;
  readonly blobs: string;
  readonly work: string;
  readonly vms: string;
}

/**
 * Makes the executor's directories. The agent's can be entered by everybody but listed by the agent alone: programs of another
 * user work below them.
 */
export function makeDirectories({ state, identities }: HelperConfig): Directories {
  const agent = identities?.agent ?? null;
  const root = ownedDirectory(join(state, 'executor'), 0o755, null);
  ownedDirectory(join(state, 'run'), 0o755, null);
  return {
    disks: ownedDirectory(join(root, 'disks'), 0o711, agent),
    blobs: ownedDirectory(join(root, 'blobs'), 0o711, agent),
    work: ownedDirectory(join(root, 'work'), 0o711, agent),
    vms: ownedDirectory(join(state, 'vms'), 0o700, null),
  };
}
