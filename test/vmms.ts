import { type Acceleration, type Vmm, vmmNames, vmmOf } from '@fumehood/microvm';
import { qemuPath } from '../packages/fumehood/src/up/vmm.ts';

/** What runs the processors of the tests' VMs: `FUMEHOOD_ACCELERATION=kvm` is for a machine whose `/dev/kvm` runs guests. */
export const acceleration: Acceleration = process.env.FUMEHOOD_ACCELERATION === 'kvm' ? 'kvm' : 'emulated';

/** The binary of each VMM; null: it does not run here. */
const binaries: Readonly<Record<Vmm['name'], string | null>> = {
  qemu: qemuPath,
  firecracker: acceleration === 'kvm' ? (process.env.FUMEHOOD_FIRECRACKER ?? null) : null,
};

/** Each VMM, and null in place of one that does not run here. */
export const vmmsHere: readonly { readonly name: string; readonly vmm: Vmm | null }[] = vmmNames.map(
  (name) => {
    const binary = binaries[name];
    return { name, vmm: binary === null ? null : vmmOf(name, binary) };
  },
);
