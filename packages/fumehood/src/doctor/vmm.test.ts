import { expect, it } from 'vitest';
import { vmmFinding } from './vmm.ts';

const qemu = { name: 'qemu', binary: '/usr/bin/qemu-system-x86_64' } as const;
const all = { kvm: qemu, emulated: qemu };
const found = { binary: '/opt/firecracker', version: '1.17.0' } as const;
const none = { binary: null, why: 'none is installed' } as const;
const finding = (setting: 'auto' | 'firecracker', host: Parameters<typeof vmmFinding>[0]['host']) =>
  vmmFinding({ order: { setting, firecracker: null }, host, qemuVersion: '7.2.22' });

it('says which Firecracker runs VMs on hardware, and what runs the others', () => {
  const host = { vmms: all, firecracker: found, notFirecracker: null };
  expect(finding('auto', host)).toEqual({
    check: 'virtual machine monitor',
    ok: true,
    detail:
      'Firecracker 1.17.0 (/opt/firecracker) runs those on hardware, QEMU 7.2.22 (/usr/bin/qemu-system-x86_64) those on an emulated processor',
  });
  const alone = { ...host, vmms: { kvm: qemu } };
  expect(finding('firecracker', alone).detail).not.toContain('QEMU');
});

it('says why QEMU runs all', () => {
  const host = { vmms: all, firecracker: none, notFirecracker: 'none is installed' };
  expect(finding('auto', host)).toMatchObject({
    ok: true,
    detail: expect.stringMatching(/^QEMU 7\.2\.22 .* runs all; Firecracker does not: none is installed$/),
  });
});

it('fails if Firecracker alone is asked for and cannot be used, and says what to do', () => {
  const host = { vmms: {}, firecracker: none, notFirecracker: 'none is installed' };
  expect(finding('firecracker', host)).toMatchObject({
    ok: false,
    detail: expect.stringContaining('none is installed'),
    remedy: expect.stringContaining('`fumehood executor install firecracker`'),
  });
});
