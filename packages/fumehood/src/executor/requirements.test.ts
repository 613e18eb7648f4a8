import { protocolVersion } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { instanceRequirements, machineRequirements, requirementLines } from './requirements.ts';

const findings = [
  { check: 'programs', ok: false, detail: 'missing: /usr/bin/bwrap', remedy: 'apt-get install bubblewrap' },
  { check: 'hardware virtualization', ok: false, detail: 'there is no /dev/kvm', remedy: 'modprobe' },
];
const machine = { root: true, freeMiB: 10_240, state: '/var/lib/fumehood' };
const good = { refusal: null, aheadMs: 400, protocol: String(protocolVersion) };
const unmet = (requirements: ReturnType<typeof instanceRequirements>) =>
  requirements.filter(({ met }) => !met).map(({ requirement }) => requirement);

it('says of each requirement what is, what should be, and what mends it', () => {
  const all = machineRequirements({ tiers: ['vm-emulated'], findings }, machine);
  expect(requirementLines(all)).toEqual([
    '✓ user: root',
    '✗ programs: missing: /usr/bin/bwrap',
    '    should be: all installed',
    '    apt-get install bubblewrap',
    '✓ isolation: vm-emulated, which jobs have to accept',
    '✓ room: 10.0 GiB free in /var/lib/fumehood',
  ]);
});

it('needs root, a tier, and room', () => {
  const all = machineRequirements({ tiers: [], findings: [] }, { ...machine, root: false, freeMiB: 4095 });
  expect(unmet(all)).toEqual(['user', 'isolation', 'room']);
  expect(all.every(({ remedy }) => remedy !== undefined)).toBe(true);
});

it('needs an instance that accepts the credential, with a clock and a version near those of this machine', () => {
  expect(unmet(instanceRequirements(good))).toEqual([]);
  expect(unmet(instanceRequirements({ ...good, refusal: '401 revoked' }))).toEqual(['credential']);
  expect(unmet(instanceRequirements({ ...good, aheadMs: -31_000 }))).toEqual(['clock']);
  expect(unmet(instanceRequirements({ ...good, protocol: String(protocolVersion + 1) }))).toEqual([]);
  const far = instanceRequirements({ ...good, refusal: '426', protocol: String(protocolVersion + 2) });
  expect(unmet(far)).toEqual(['protocol']);
  const [version, , clock] = instanceRequirements({ ...good, aheadMs: 5_400, protocol: null });
  expect(version).toMatchObject({ met: true, is: expect.stringContaining("of upstream's kind") as string });
  expect(clock).toMatchObject({ met: true, is: '5 s ahead of that of the instance' });
});
