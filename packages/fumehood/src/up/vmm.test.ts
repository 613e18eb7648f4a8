import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openState, type State } from '../state/state.ts';
import { requireVmm, vmmOrder, vmmsOfHost } from './vmm.ts';

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

it('without Firecracker, `firecracker` is refused with what to do', async () => {
  const order = { setting: 'firecracker', firecracker: null } as const;
  const host = await vmmsOfHost(order, { accelerations: ['kvm', 'emulated'] }, { state, root: false });
  expect(host.vmms).toEqual({});
  expect(() => requireVmm(order, host)).toThrow(
    expect.objectContaining({
      code: 'vmm_unavailable',
      remedy: expect.stringContaining('fumehood up --vmm auto'),
    }),
  );
  expect(() => requireVmm({ ...order, setting: 'auto' }, host)).not.toThrow();
});
