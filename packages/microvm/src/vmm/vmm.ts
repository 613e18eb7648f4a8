import type { VmSpec } from '../vm.ts';

/** Descriptors that a VMM inherits, by the numbers that they have in its process. */
export interface VmmDescriptors {
  readonly monitor: number;
  readonly control: number;
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
  readonly bulk: number;
  readonly kernel: number;
  readonly initramfs: number;
  /** Read-only disks, in slot order. */
  readonly disks: readonly number[];
  /** The writable scratch disk, and the same file opened for reading only. */
  readonly scratch: number;
  readonly scratchReader: number;
  /** The guest's memory, a sealed memfd of exactly its size. */
  readonly memory: number;
}

/**
 * A virtual machine monitor, as a command over inherited descriptors: it opens no path of the host but its own libraries.
 */
export interface Vmm {
  readonly name: 'qemu';
  /** Its path on the host, and in the jail. */
  readonly binary: string;
  /** The command line that runs `spec`, to be put into the jail. */
  command(spec: VmSpec, fds: VmmDescriptors): string[];
  /** Device nodes that the jail shows to it. */
  devices(spec: VmSpec): string[];
}
