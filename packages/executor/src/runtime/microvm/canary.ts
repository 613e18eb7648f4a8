import { randomBytes } from 'node:crypto';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import type { Tier } from '@fumehood/protocol';
import type { Resources } from '../../uplink/queue.ts';
import { startGuest, explainFailure, type Lifetime } from './start-guest.ts';
import { accelerationOf, chooseTier } from './vm-plan.ts';
import { type AgentVm, type VmSource, withoutNetwork } from './vm-source.ts';

interface CanaryDeps {
  readonly vms: VmSource;
  readonly clock: Clock;
  readonly tiers: readonly Tier[];
  readonly directories: { /** Has the working directories of jobs. */ readonly work: string };
}

/** The longest life of a canary, ms. */
const lifeMs = 30_000;

/**
 * Does what this machine has to do for every job: makes a working directory, boots a VM of this size with its scratch disk, and destroys
 * it. Errors: those of a boot, `disk_full`, and the reason of `stopped`.
 */
export async function bootCanary(
  { vms, clock, tiers, directories }: CanaryDeps,
  resources: Resources,
  stopped: AbortSignal,
): Promise<void> {
  const deadline = clock.bootTime() + lifeMs;
  const lifetime: Lifetime = { stopped, killed: stopped, deadline: () => deadline, onRenewed() {} };
  let vm: AgentVm | null = null;
  const spec = {
    id: `canary-${randomBytes(4).toString('hex')}`,
    acceleration: accelerationOf(chooseTier(tiers, tiers)),
    ...resources,
    disks: [],
  };
  try {
    await rmdir(await mkdtemp(join(directories.work, 'canary-')));
    await startGuest(vms, spec, { boots: true, ...withoutNetwork }, lifetime, clock, (started) => {
      vm = started;
    });
  } catch (error) {
    throw await explainFailure(error, vm, lifetime);
  } finally {
    await (vm as AgentVm | null)?.destroy();
  }
}
