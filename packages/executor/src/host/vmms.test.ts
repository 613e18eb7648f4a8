import { describe, expect, it } from 'vitest';
import { chooseVmms, type VmmHost } from './vmms.ts';

const qemu = { name: 'qemu', binary: '/usr/bin/qemu' };
const firecracker = { name: 'firecracker', binary: '/opt/firecracker' };
const both: VmmHost = {
  accelerations: ['kvm', 'emulated'],
  firecracker: { binary: '/opt/firecracker', version: '1.17.0' },
  root: true,
  qemu: '/usr/bin/qemu',
};
const emulated: VmmHost = { ...both, accelerations: ['emulated'] };
const without: VmmHost = { ...both, firecracker: { binary: null, why: 'none is installed' } };

describe('auto', () => {
  it('takes Firecracker on hardware, and QEMU for emulated processors', () => {
    const vmms = { kvm: firecracker, emulated: qemu };
    expect(chooseVmms('auto', both)).toEqual({ vmms, notFirecracker: null });
    const onlyKvm = { ...both, accelerations: ['kvm'] } as const;
    expect(chooseVmms('auto', onlyKvm)).toEqual({ vmms: { kvm: firecracker }, notFirecracker: null });
  });

  it.each<[string, VmmHost, object, string]>([
    [
      'no hardware virtualization',
      emulated,
      { emulated: qemu },
      'this machine has no hardware virtualization',
    ],
    ['no Firecracker', without, { kvm: qemu, emulated: qemu }, 'none is installed'],
    ['no root', { ...both, root: false }, { kvm: qemu, emulated: qemu }, 'it needs root'],
  ])('takes QEMU where there is %s, and says so', (_, host, vmms, notFirecracker) => {
    expect(chooseVmms('auto', host)).toEqual({ vmms, notFirecracker });
  });

  it('takes nothing where no canary ran', () => {
    expect(chooseVmms('auto', { ...both, accelerations: [] }).vmms).toEqual({});
  });
});

it('qemu takes QEMU alone', () => {
  const vmms = { kvm: qemu, emulated: qemu };
  expect(chooseVmms('qemu', both)).toEqual({ vmms, notFirecracker: 'the setting `vmm` is qemu' });
});

describe('firecracker', () => {
  it('takes Firecracker alone', () => {
    expect(chooseVmms('firecracker', both)).toEqual({ vmms: { kvm: firecracker }, notFirecracker: null });
  });

  it.each([
    ['no hardware virtualization', emulated, /no hardware/],
    ['no Firecracker', without, /none is installed/],
  ])('takes nothing where there is %s', (_, host, why) => {
    const { vmms, notFirecracker } = chooseVmms('firecracker', host);
    expect(vmms).toEqual({});
    expect(notFirecracker).toMatch(why);
  });
});
