/**
 * Numbers of users that no account has, so that nobody else's processes and files share them. Programs and VMs run as one each;
 * without root there are none, and everything is its starter's.
 */
const base = 1_900_000_000;

export const agentIdentity = { uid: base + 1, gid: base + 1 } as const;
/** As whom the executor's programs run that read a tenant's bytes. */
export const executorSpawnUid = base + 2;
/** The same, of the instance. */
export const instanceSpawnUid = base + 3;
/** As whom the canary runs. */
export const canaryUid = base + 999;
/** The first of the VMs' users. */
export const firstVmUid = base + 1000;
