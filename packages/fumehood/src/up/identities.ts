import type { Identity } from '@fumehood/base';

/**
 * Numbers of users without an account, so that no other processes or files belong to them. With root, the
 * agent, the programs that read a tenant's bytes, and each VM run as one of these users. Without root, everything runs as the user who
 * started it.
 */
const base = 1_900_000_000;

/** User and group of the agent. */
export const agentIdentity = { uid: base + 1, gid: base + 1 } as const;
/** User of the executor's programs that read a tenant's bytes. */
export const executorSpawnUid = base + 2;
/** User of the instance's programs that read a tenant's bytes. */
export const instanceSpawnUid = base + 3;
/** User and group of the process that serves the networks of guests. */
export const egressIdentity = { uid: base + 4, gid: base + 4 } as const;
const canaryUid = base + 999;

/** User of the canary VM, who also asks VMMs for their version; null without root. */
export function canaryIdentity(root: boolean): Identity | null {
  return root ? { uid: canaryUid, gid: canaryUid } : null;
}

/** First of the users of VMs. */
export const firstVmUid = base + 1000;
