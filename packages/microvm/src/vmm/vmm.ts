import type { VmSpec } from '../vm/spec.ts';

/** Numbers of the descriptors that a VMM inherits. */
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
  /** The guest's memory: a sealed memfd of exactly this size. */
  readonly memory: number;
}

/** A virtual machine monitor: a command that uses inherited descriptors and opens only its own libraries on the host. */
export interface Vmm {
  readonly name: 'qemu';
  /** Path of the binary, on the host and in the jail. */
  readonly binary: string;
  /** Returns the command line that runs `spec` in the jail. */
  command(spec: VmSpec, fds: VmmDescriptors): string[];
  /** Returns the device nodes that the jail must contain. */
  devices(spec: VmSpec): string[];
}
