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
 * Makes the executor's directories. Those of the agent hold what belongs to tenants, so no other user of the machine can enter them.
 * The programs under the profile can: they work below them, and have the agent's group. Without root they are the same user.
 */
export function makeDirectories({ state, identities }: HelperConfig): Directories {
  const agent = identities?.agent ?? null;
  const mode = agent ? 0o710 : 0o700;
  const root = ownedDirectory(join(state, 'executor'), 0o755, null);
  ownedDirectory(join(state, 'run'), 0o755, null);
  return {
    disks: ownedDirectory(join(root, 'disks'), mode, agent),
    blobs: ownedDirectory(join(root, 'blobs'), mode, agent),
    work: ownedDirectory(join(root, 'work'), mode, agent),
    vms: ownedDirectory(join(state, 'vms'), 0o700, null),
  };
}
