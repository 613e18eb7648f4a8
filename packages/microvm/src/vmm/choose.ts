import type { Socket } from 'node:net';
import { firecracker, openMonitor as openFirecrackerMonitor } from './firecracker/firecracker.ts';
import { qemu } from './qemu/qemu.ts';
import { openMonitor as openQemuMonitor } from './qemu/qmp.ts';
import type { Monitor, Vmm } from './vmm.ts';

/** Every VMM by its name: this is the one list of them. */
const vmms = {
  qemu: { open: qemu, openMonitor: openQemuMonitor },
  firecracker: { open: firecracker, openMonitor: openFirecrackerMonitor },
} as const satisfies Record<Vmm['name'], { open(binary: string): Vmm; openMonitor(socket: Socket): Monitor }>;

/** Names of the VMMs. */
export const vmmNames = Object.keys(vmms) as [Vmm['name'], ...Vmm['name'][]];

/** Returns the VMM of this name. `binary` is its path, on the host and in the jail. */
export function vmmOf(name: Vmm['name'], binary: string): Vmm {
  return vmms[name].open(binary);
}

/** Opens the monitor of a running VM of this VMM. */
export function openMonitor(name: Vmm['name'], socket: Socket): Monitor {
  return vmms[name].openMonitor(socket);
}
