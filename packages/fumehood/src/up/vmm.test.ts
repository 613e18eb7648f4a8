import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openState, type State } from '../state/state.ts';
import { requireVmm, vmmOrder, vmmsOfHost } from './vmm.ts';

const isRoot = process.getuid?.() === 0;
let state: State;
beforeEach(() => {
  state = openState({ FUMEHOOD_STATE: mkdtempSync(join(tmpdir(), 'fumehood-vmm-')) }, 0);
});
afterEach(() => rmSync(state.root, { recursive: true }));
const write = (settings: object) =>
  writeFileSync(join(state.root, 'settings.json'), JSON.stringify(settings));

it('the option goes before the environment, and the environment before the settings', () => {
  expect(vmmOrder(state, {}, undefined)).toEqual({ setting: 'auto', firecracker: null });
  write({ vmm: 'qemu', firecracker: '/opt/one' });
  expect(vmmOrder(state, {}, undefined)).toEqual({ setting: 'qemu', firecracker: '/opt/one' });
  const environment = { FUMEHOOD_VMM: 'firecracker', FUMEHOOD_FIRECRACKER: '/opt/two' };
  expect(vmmOrder(state, environment, undefined)).toEqual({
    setting: 'firecracker',
    firecracker: '/opt/two',
  });
  expect(vmmOrder(state, environment, 'auto')).toEqual({ setting: 'auto', firecracker: '/opt/two' });
});

it.each([
  [{ FUMEHOOD_VMM: 'xen' }, 'Set it to one of auto, qemu, firecracker'],
  [{ FUMEHOOD_VMM: '' }, 'Set it to one of auto, qemu, firecracker'],
  [{ FUMEHOOD_FIRECRACKER: 'firecracker' }, 'absolute path'],
  [{ FUMEHOOD_FIRECRACKER: '' }, 'absolute path'],
])('the environment %j is refused, with what is allowed', (environment, allowed) => {
  expect(() => vmmOrder(state, environment, undefined)).toThrow(
    expect.objectContaining({ code: 'usage', remedy: expect.stringContaining(allowed) }),
  );
});

it.each([
  [{ vmm: 'xen' }, 'allowed is "auto", "qemu" or "firecracker"'],
  [{ firecracker: 'here' }, 'allowed is "/PATH"'],
])('the settings %j are refused, with what is allowed', (settings, allowed) => {
  write(settings);
  expect(() => vmmOrder(state, {}, undefined)).toThrow(allowed);
});

/** Installs a program that only says that it is Firecracker, and returns its path. */
function installFake(): string {
  const binary = join(state.firecracker, '1.17.0/firecracker');
  mkdirSync(join(state.firecracker, '1.17.0'), { recursive: true });
  writeFileSync(binary, '#!/bin/sh\necho Firecracker v1.17.0\n');
  chmodSync(binary, 0o755);
  chmodSync(state.root, 0o755); // the binary is asked for its version as a user of VMs
  return binary;
}

/** Chooses on a host with hardware virtualization, with a canary that ends so. Returns the choice, and what the canary ran on. */
async function choose(setting: 'auto' | 'qemu' | 'firecracker', canary: string | null) {
  const order = { setting, firecracker: null };
  const ranOn: string[] = [];
  const host = await vmmsOfHost(
    order,
    { accelerations: ['kvm', 'emulated'] },
    { state, root: true, canary: async ({ binary }) => (ranOn.push(binary), canary) },
  );
  return { order, host, ranOn };
}

it.runIf(isRoot)('Firecracker is taken when a guest runs on it', async () => {
  const binary = installFake();
  const { host, ranOn } = await choose('auto', null);
  expect(host).toMatchObject({ notFirecracker: null, vmms: { kvm: { name: 'firecracker', binary } } });
  expect(host.vmms.emulated?.name).toBe('qemu');
  expect(ranOn).toEqual([binary]);
});

it.runIf(isRoot)('Firecracker is not taken when no guest runs on it, and the reason is kept', async () => {
  installFake();
  const { host } = await choose('auto', 'its VMM ended');
  expect(host.vmms.kvm?.name).toBe('qemu');
  expect(host.notFirecracker).toBe('a guest does not run on it: its VMM ended');
  const alone = await choose('firecracker', 'its VMM ended');
  expect(alone.host.vmms).toEqual({});
  expect(() => requireVmm(alone.order, alone.host)).toThrow('a guest does not run on it: its VMM ended');
});

it('qemu looks for no Firecracker', async () => {
  installFake();
  const { host, ranOn } = await choose('qemu', null);
  expect([host.vmms.kvm?.name, ranOn]).toEqual(['qemu', []]);
});

it('without Firecracker, `firecracker` is refused with what to do', async () => {
  const { order, host, ranOn } = await choose('firecracker', null);
  expect(ranOn).toEqual([]);
  expect(host.vmms).toEqual({});
  expect(() => requireVmm(order, host)).toThrow(
    expect.objectContaining({
      code: 'vmm_unavailable',
      remedy: expect.stringContaining('fumehood up --vmm auto'),
    }),
  );
  expect(() => requireVmm({ ...order, setting: 'auto' }, host)).not.toThrow();
});
