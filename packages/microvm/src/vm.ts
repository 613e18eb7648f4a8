import type { Socket } from 'node:net';

/** How a VM's processor is run; the canary decides which of them this host really has. */
export type Acceleration = 'kvm' | 'emulated';

/** What a VM is made of. Plain data: the agent writes it, the privileged side checks and obeys it. */
export interface VmSpec {
  /** Letters, digits and hyphens, at most 40: names cgroup, processes and files of this VM. */
  readonly id: string;
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Size of the writable scratch disk, MiB; sparse on the host. */
  readonly scratchMiB: number;
  /** Names of read-only disk files in the host's disk directory, in slot order. At most 18. */
  readonly disks: readonly string[];
}

/** Streams of a running VM, each an inherited socket pair: no path of the VM is ever dialled. */
export interface VmSockets {
  /** To the launcher: lease renewals, kill. Not to the VMM. */
  readonly lease: Socket;
  /** The VMM's own control (QMP under QEMU). */
  readonly monitor: Socket;
  /** The guest's console and the VMM's stderr, bounded by the reader: for diagnosis only, never parsed. */
  readonly console: Socket;
  readonly control: Socket;
  readonly stdin: Socket;
  readonly stdout: Socket;
  readonly stderr: Socket;
  readonly bulk: Socket;
}

/** Names of a VM's sockets, in the order in which they cross from one process to another. */
export const vmSocketNames = [
  'lease',
  'monitor',
  'console',
  'control',
  'stdin',
  'stdout',
  'stderr',
  'bulk',
] as const satisfies readonly (keyof VmSockets)[];

/** How a VM ended, as its launcher saw it. */
export interface VmExit {
  readonly code: number | null;
  readonly signal: number | null;
  /** Why the launcher killed it, or `exited` when the VMM ended by itself. */
  readonly reason: 'exited' | 'killed' | 'lease' | 'start';
  /** What launcher and VMM wrote to their stderr, its end. */
  readonly complaints: string;
}

/** Begins the name of everything that a VM has on its host: cgroup, process, files. */
export const vmNamePrefix = 'fumehood-';
