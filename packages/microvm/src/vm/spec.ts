import type { Socket } from 'node:net';

/** How a VM's processor is run. The canary decides which of them a host really has. */
export type Acceleration = 'kvm' | 'emulated';

/** The id of a VM: it names the cgroup, the processes and the files of this VM. */
export const vmIdPattern = /^[a-z0-9-]{1,40}$/;
/** Most read-only disks of a VM. */
export const vmDisksMax = 18;
/**
 * Memory that a VMM may use besides its guest's, MiB: part of the limit of the VM's cgroup, and of what an executor reserves for
 * each job. The measured peak is 255 MiB, under emulation.
 */
export const vmmMemoryMiB = 384;

/** What a VM consists of: plain data that the agent writes and the privileged helper checks before it starts the VM. */
export interface VmSpec {
  /** Matches `vmIdPattern`. */
  readonly id: string;
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Size of the writable scratch disk, MiB. */
  readonly scratchMiB: number;
  /** Names of read-only disk files in the host's disk directory, in slot order; at most `vmDisksMax`. */
  readonly disks: readonly string[];
  /** Whether the guest has a network interface, whose other end the host serves. */
  readonly network?: boolean;
}

/**
 * Returns how many processes and threads a VM may have on its host. QEMU has one thread for each processor, up to 64 for disks,
 * and a few others.
 */
export function vmmProcesses({ cpus }: Pick<VmSpec, 'cpus'>): number {
  return cpus + 128;
}

/** Streams of a VM that are there from its start. Each is one end of an inherited socket pair. */
export interface LauncherSockets {
  /** To the launcher, not to the VMM: lease renewals and the kill. */
  readonly lease: Socket;
  /** The guest's console and the VMM's stderr, for diagnosis only: the reader bounds it and never parses it. */
  readonly console: Socket;
}

/**
 * Streams of a VM whose guest has connected: ends of inherited socket pairs or, where the guest dials, connections that it has made.
 * The host never dials a VM that runs.
 */
export interface GuestSockets {
  /** The VMM's own control (QMP under QEMU, the API of Firecracker). */
  readonly monitor: Socket;
  readonly control: Socket;
  readonly stdin: Socket;
  readonly stdout: Socket;
  readonly stderr: Socket;
  readonly bulk: Socket;
}

/** Names of the guest's ports, in the order of their numbers. */
export const portNames = ['control', 'stdin', 'stdout', 'stderr', 'bulk'] as const;
/** Names of a VM's sockets, in the order in which one process hands them to another. */
export const launcherSocketNames = ['lease', 'console'] as const satisfies readonly (keyof LauncherSockets)[];
export const guestSocketNames = ['monitor', ...portNames] as const satisfies readonly (keyof GuestSockets)[];

/** How a VM ended, as its launcher reports it. */
export interface VmExit {
  readonly code: number | null;
  readonly signal: number | null;
  /**
   * `exited`: the VMM ended by itself. `sealed`: the launcher killed it, and it has become a template. `killed` and `lease`: the launcher killed it on request or because its lease ran out.
   * `start`: the VMM did not start.
   */
  readonly reason: 'exited' | 'sealed' | 'killed' | 'lease' | 'start';
  /** The end of what the launcher and the VMM wrote to their stderr. */
  readonly stderr: string;
}

/** Prefix of every name that a VM has on its host: cgroup, processes, files. */
export const vmNamePrefix = 'fumehood-';

/** Returns the name that the VM with this id has on its host. */
export function vmName(id: string): string {
  return `${vmNamePrefix}${id}`;
}

/** The guest's name of the scratch disk. */
export const scratchDevice = '/dev/vda';

/** Returns the guest's name of a read-only disk by its slot. The scratch disk comes before all of them. */
export function diskDevice(slot: number): string {
  return `/dev/vd${String.fromCharCode('b'.charCodeAt(0) + slot)}`;
}
