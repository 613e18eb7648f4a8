import type { Socket } from 'node:net';
import type { GuestSockets, VmSpec } from '../vm/spec.ts';

/** Numbers of the descriptors that a VMM inherits. */
export interface VmmDescriptors {
  /** How the guest's streams reach the host: over sockets, or over connections that the guest makes to sockets in a directory. */
  readonly channel:
    | { readonly sockets: Readonly<Record<keyof GuestSockets, number>> }
    | { readonly directory: number };
  /** What the guest starts from: a kernel that boots, or the state of a template's devices. */
  readonly start: { readonly kernel: number; readonly initramfs: number } | { readonly state: number };
  /** Read-only disks, in slot order. */
  readonly disks: readonly number[];
  /** How many read-only disks the guest has: those, and empty ones. */
  readonly slots: number;
  /** The writable scratch disk, and the same file opened for reading only. The first has the same number in every VM of a VMM. */
  readonly scratch: number;
  readonly scratchReader: number;
  /** An empty disk for slots without one, which has the same number in a template and in its clones; null for a VM that boots. */
  readonly blank: number | null;
  /**
   * The guest's memory: a memfd of exactly this size. A clone maps that of its template privately. Null where the VMM makes the
   * memory, and does not save it.
   */
  readonly memory: number | null;
  /** The file in which the state of a template's devices is saved; null for other VMs. */
  readonly savedState: number | null;
  /** The socket to which a VMM writes this state, if it does not write to the file. */
  readonly stateSocket: number | null;
  /** The tap of the guest's network interface; null for a guest without one, and for a VMM that opens it by its name. */
  readonly tap: number | null;
}

/** The monitor of a running VM. Errors of every call: `guest_not_ready`. */
export interface Monitor {
  /** Stops the guest's processors. Its memory and disks do not change from then on. */
  pause(): Promise<void>;
  /** Stops the guest for good, and writes the state of its devices. Afterwards all of its memory is in the file that it inherited. */
  save(fds: VmmDescriptors): Promise<void>;
}

/** A VMM that was launched, as its driver sees it. The VMM is executed after `connect` has resolved. */
export interface LaunchedVmm {
  readonly spec: VmSpec;
  readonly fds: VmmDescriptors;
  /** The host's ends of the sockets, or the path at which this process finds the directory. */
  readonly channel: { readonly sockets: GuestSockets } | { readonly directory: string };
  /** The version of the VMM that made the template of a clone. */
  readonly templateVersion: string | null;
  /** Resolves when the VM has ended. */
  readonly ended: Promise<unknown>;
}

/** The guest of a VM, when it has connected. */
export interface ConnectedGuest {
  readonly sockets: GuestSockets;
  /** The version of the VMM, where a template is only loaded by the version that made it. */
  readonly version: string | null;
}

/** A virtual machine monitor: a command that uses inherited descriptors and opens only its own libraries on the host. */
export interface Vmm {
  readonly name: 'qemu' | 'firecracker';
  /** Path of the binary, on the host and in the jail. */
  readonly binary: string;
  /** Whether the binary is all that the jail needs to have of the host, or its libraries and its firmware, too. */
  readonly isStatic: boolean;
  /** Whether the guest dials the host, in place of inherited sockets. */
  readonly guestDials: boolean;
  /** Whether the VMM opens files by the paths of inherited descriptors, as its own user. */
  readonly reopensFiles: boolean;
  /** Whether the VMM opens the tap by its name, and so runs in the namespace of the tap. Otherwise it inherits the tap. */
  readonly opensTap: boolean;
  /**
   * Whether the VMM makes the guest's memory by itself, and writes it and the state of its devices to files when it saves a VM. Otherwise
   * it runs the guest in the memory that it inherits, and writes the state to a socket.
   */
  readonly makesMemory: boolean;
  /** Most read-only disks of a template, and of its clones. A VM with more of them boots. */
  readonly templateDisksMax: number;
  /** Errors: `vm_refused` for a spec that this VMM cannot run. */
  check(spec: VmSpec): void;
  /** Returns the command line that runs `spec` in the jail. */
  command(spec: VmSpec, fds: VmmDescriptors): string[];
  /** Returns the device nodes that the jail must contain. */
  devices(spec: VmSpec): string[];
  /**
   * Prepares the host's side of a VMM that is about to start, and tells it what it has to do. `guest` resolves when the guest has
   * connected, and rejects with `guest_not_ready` or `vmm_refused`. This process reads nothing that a guest could have written.
   */
  connect(vm: LaunchedVmm): Promise<{ readonly guest: Promise<ConnectedGuest> }>;
  /** Speaks to the monitor of a VM whose guest has connected. What it answers is bounded and checked: a guest may have taken over the VMM. */
  openMonitor(monitor: Socket): Monitor;
}
