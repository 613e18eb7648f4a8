import { expect, it } from 'vitest';
import { tiersOf } from './probe.ts';

const vmm = { name: 'qemu', binary: '/usr/bin/qemu-system-x86_64' } as const;

it.each([
  ['hardware', { kvm: vmm, emulated: vmm }, ['vm-hardware', 'vm-emulated']],
  ['pvm', { kvm: vmm, emulated: vmm }, ['vm-pvm', 'vm-emulated']],
  ['pvm', { emulated: vmm }, ['vm-emulated']],
  ['hardware', {}, []],
] as const)('offers, where %s serves /dev/kvm and %o run guests, %o', (kvm, vmms, tiers) => {
  expect(tiersOf(vmms, { kvm })).toEqual(tiers);
});
