import type { Socket } from 'node:net';
import type { VmSpec } from '../vm/spec.ts';

/** Numbers of the descriptors that a VMM inherits. */
export interface VmmDescriptors {
  readonly monitor: number;
  readonly control: number;
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
  readonly bulk: number;
  /** What the guest starts from: a kernel that boots, or the state of a template's devices. */
  readonly start: { readonly kernel: number; readonly initramfs: number } | { readonly state: number };
  /** Read-only disks, in slot order. */
  readonly disks: readonly number[];
  /** The writable scratch disk, and the same file opened for reading only. */
  readonly scratch: number;
  readonly scratchReader: number;
  /** The socket to which a template writes the state of its devices. */
  readonly stateSocket: number | null;
  /** The guest's memory: a sealed memfd of exactly this size. A clone maps that of its template privately. */
  readonly memory: number;
}

/** The monitor of a running VM. Errors of every call: `guest_not_ready`. */
export interface Monitor {
  /** Stops the guest's processors. Its memory and disks do not change from then on. */
  pause(): Promise<void>;
  /**
   * Stops the guest for good and writes the state of its devices to the socket with this descriptor number. The memory is not in it: it stays where it
   * is.
   */
  save(socket: number): Promise<void>;
  /** Ends the VMM, with exit code 0. */
  end(): Promise<void>;
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
  /** Writes what a VMM has to be told when it starts to its monitor, before anybody else uses it. Reads nothing. */
  begin(monitor: Socket, fds: VmmDescriptors): void;
  /** Speaks to a VMM that was told to begin. What it answers is bounded and checked: a guest may have taken it over. */
  openMonitor(monitor: Socket): Monitor;
}
