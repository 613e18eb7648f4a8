import { type Acceleration, type Vmm, vmmNames, vmmOf } from '@fumehood/microvm';
import * as z from 'zod';
import type { FirecrackerFound } from './firecracker/find.ts';

/** Which VMM an executor is asked to run its VMs on. */
export const vmmSettings = ['auto', 'qemu', 'firecracker'] as const;
export const vmmSettingSchema = z.enum(vmmSettings);
export type VmmSetting = z.infer<typeof vmmSettingSchema>;

const vmmSchema = z.strictObject({ name: z.enum(vmmNames), binary: z.string().startsWith('/') });
/** The VMM of the VMs on each kind of processor; none for a kind that the executor does not offer. */
export const vmmsSchema = z.strictObject({ kvm: vmmSchema.optional(), emulated: vmmSchema.optional() });
export type Vmms = z.infer<typeof vmmsSchema>;

/** The opened VMMs of an executor. */
export type OpenVmms = { readonly [K in Acceleration]?: Vmm | undefined };

/** Opens the VMMs that were chosen. */
export function openVmms({ kvm, emulated }: Vmms): OpenVmms {
  return {
    kvm: kvm && vmmOf(kvm.name, kvm.binary),
    emulated: emulated && vmmOf(emulated.name, emulated.binary),
  };
}

/** What a host has for its VMs. */
export interface VmmHost {
  /** The kinds of processors on which a canary has run. */
  readonly accelerations: readonly Acceleration[];
  readonly firecracker: FirecrackerFound;
  /** Whether the executor's helper is root. Without it, Firecracker's directory cannot be made. */
  readonly root: boolean;
  /** Path of QEMU. */
  readonly qemu: string;
}

/**
 * Chooses the VMM of each kind of processor. `auto` takes Firecracker for hardware virtualization if both are there, and QEMU for
 * the rest. `firecracker` takes nothing else: without it, or without hardware virtualization, there is no VMM. `notFirecracker` says why
 * Firecracker is not taken; null if it is.
 */
export function chooseVmms(
  setting: VmmSetting,
  host: VmmHost,
): { readonly vmms: Vmms; readonly notFirecracker: string | null } {
  const { accelerations, firecracker, root, qemu } = host;
  const hasKvm = accelerations.includes('kvm');
  const notFirecracker =
    setting === 'qemu'
      ? 'the setting `vmm` is qemu'
      : !hasKvm
        ? 'this machine has no hardware virtualization'
        : !root
          ? 'it needs root'
          : firecracker.binary === null
            ? firecracker.why
            : null;
  const onQemu = { name: 'qemu', binary: qemu } as const;
  const fast =
    notFirecracker === null && firecracker.binary !== null
      ? ({ name: 'firecracker', binary: firecracker.binary } as const)
      : onQemu;
  const all = {
    ...(hasKvm && { kvm: fast }),
    ...(accelerations.includes('emulated') && { emulated: onQemu }),
  };
  if (setting !== 'firecracker') return { vmms: all, notFirecracker };
  return { vmms: notFirecracker === null ? { kvm: fast } : {}, notFirecracker };
}
