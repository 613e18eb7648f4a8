import type { GuestImage } from '../guest/build.ts';
import type { NetworkTools } from '../network/network.ts';
import type { ScratchDisks } from './scratch.ts';
import type { Vmm } from '../vmm/vmm.ts';

/** What the privileged helper knows about its host. Nothing of it comes from the agent. */
export interface VmHost {
  readonly vmm: Vmm;
  /** Path of the launcher. */
  readonly launcher: string;
  readonly guest: GuestImage;
  /** Directory of the read-only disk files, and the uid that must own them. */
  readonly diskDirectory: string;
  readonly diskOwner: number;
  /** Group of VMMs that open the disks again which they have inherited: nobody else is in it. Without it, everybody must be able to read the disks. */
  readonly diskGroup?: number | null;
  /** Directory of the VMs' records and, for a moment, of their scratch disks, which are unlinked before the VM starts. */
  readonly runDirectory: string;
  /** Where scratch disks come from. Without it, each one is made when its VM starts. */
  readonly scratchDisks?: Pick<ScratchDisks, 'take'>;
  /** Uid and gid of this VM alone; null without root, where the VM runs as its parent. */
  readonly identity: { readonly uid: number; readonly gid: number } | null;
  /** Without it, no guest can have a network. */
  readonly network?: NetworkTools | null;
  /** False where no cgroup can be made (no root): only the VM itself then limits memory and processes. */
  readonly cgroups: boolean;
}
