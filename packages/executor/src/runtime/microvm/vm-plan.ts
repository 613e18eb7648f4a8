import { randomBytes } from 'node:crypto';
import { type Acceleration, type vmmNames, vmDisksMax, type VmSpec } from '@fumehood/microvm';
import type { ImageDisk, ImageRoot } from '@fumehood/oci';
import type { Tier } from '@fumehood/protocol';
import { jobRefused } from '../../errors.ts';
import type { Vmms } from '../../host/vmms.ts';
import type { ValidatedJob } from './validate-job.ts';

/** Returns the strongest tier that the job accepts and this executor offers. Errors: `job_refused` when there is none. */
export function chooseTier(accept: readonly Tier[], offered: readonly Tier[]): Tier {
  const strongestFirst: Tier[] = ['vm-hardware', 'vm-pvm', 'vm-emulated'];
  const tier = strongestFirst.find((candidate) => accept.includes(candidate) && offered.includes(candidate));
  if (!tier)
    throw jobRefused(
      `it accepts ${accept.join(', ')}, and this executor offers ${offered.join(', ') || 'nothing'}`,
      'Run `fumehood doctor` on the executor.',
    );
  return tier;
}

/** Returns how the VMs of a tier run. */
export function accelerationOf(tier: Tier): Acceleration {
  return tier === 'vm-emulated' ? 'emulated' : 'kvm';
}

/** Returns the name of the VMM of a tier's VMs. Errors: `job_refused` when this executor has none. */
export function vmmOfTier(vmms: Vmms, tier: Tier): (typeof vmmNames)[number] {
  const vmm = vmms[accelerationOf(tier)];
  if (!vmm)
    throw jobRefused(`this executor has no VMM for ${tier}`, 'Run `fumehood doctor` on the executor.');
  return vmm.name;
}

/** The read-only disks of a VM. */
export interface DiskPlan {
  /** Names in the directory of disks, by slot. */
  readonly disks: readonly string[];
  /** The slot of each step's image. */
  readonly imageSlots: readonly number[];
  /** The root directory of each step's image. */
  readonly imageRoots: readonly ImageRoot[];
  /** The slot of the workspace, or null when the job has none. */
  readonly workspaceSlot: number | null;
  /** The slot of the tools of this host, and the directory of the repository on which they work; null when the job needs none. */
  readonly tools: { readonly slot: number; readonly repository: string } | null;
}

/**
 * Assigns a slot to every disk. An image that several steps use has one slot; the workspace has the one behind the images, and the tools
 * have the last one. Errors: `job_refused` for more disks than a VM has.
 */
export function planDisks(
  images: readonly ImageDisk[],
  workspace: string | null,
  tools: { readonly file: string; readonly repository: string } | null = null,
): DiskPlan {
  const imageFiles = [...new Set(images.map((image) => image.file))];
  const others = [workspace, tools?.file].filter((file) => typeof file === 'string');
  const disks = [...imageFiles, ...others];
  if (disks.length > vmDisksMax)
    throw jobRefused(
      `its steps have ${imageFiles.length} images, and a VM has room for ${vmDisksMax - others.length}`,
      'Use the same image for several steps.',
    );
  const imageSlots = images.map((image) => disks.indexOf(image.file));
  const imageRoots = images.map(({ config }) => config.root ?? { mode: 0o755, uid: 0, gid: 0 });
  return {
    ...{ disks, imageSlots, imageRoots },
    workspaceSlot: workspace === null ? null : imageFiles.length,
    tools: tools && { slot: disks.length - 1, repository: tools.repository },
  };
}

/** Returns the spec of a VM for one boot. Every call makes a new id. */
export function vmSpec(job: ValidatedJob, tier: Tier, plan: DiskPlan): VmSpec {
  return {
    id: `j${job.id}-a${job.fumehood.attempt}-${randomBytes(4).toString('hex')}`,
    acceleration: accelerationOf(tier),
    ...job.fumehood.resources,
    disks: plan.disks,
  };
}

/**
 * Returns the memory limit of a step, in bytes, in a VM of this memory. The rest is for the kernel and init: a step has to hit its
 * own limit before the guest runs out of memory.
 */
export function stepMemoryBytes(memoryMiB: number): number {
  return Math.floor(memoryMiB - 64 - memoryMiB / 16) * 2 ** 20;
}
