import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openState } from '../state/state.ts';
import { executorSettings, runsAsAsked } from './up.ts';

it("an executor's address and labels are read from its settings, whatever else is there", () => {
  const state = openState({ FUMEHOOD_STATE: mkdtempSync(join(tmpdir(), 'fumehood-up-')) }, 0);
  mkdirSync(state.run);
  const read = { instanceUrl: 'unix:/run/socket', labels: ['gpu'] };
  const more = { name: 'here', ofAnotherBuild: true };
  writeFileSync(join(state.run, 'executor-helper.json'), JSON.stringify({ ...read, ...more }));
  expect(executorSettings(state)).toEqual({ ...read, vmm: 'auto' });
  writeFileSync(join(state.run, 'executor-helper.json'), JSON.stringify({ ...read, vmm: 'qemu' }));
  expect(executorSettings(state)).toEqual({ ...read, vmm: 'qemu' });
  rmSync(state.root, { recursive: true });
});

it.each([
  [['a', 'b=1'], ['b=1', 'a'], true],
  [[], [], true],
  [['a'], ['a', 'b'], false],
  [['a', 'b'], ['a'], false],
  [['a'], [], false],
])('an executor with the labels %j has those of `up --label` %j: %s', (labels, wanted, expected) => {
  expect(runsAsAsked({ labels, vmm: 'auto' }, { labels: wanted, vmm: undefined })).toBe(expected);
});

it.each([
  ['auto', undefined, true],
  ['auto', 'auto', true],
  ['auto', 'qemu', false],
  ['qemu', 'firecracker', false],
] as const)(
  'an executor that was started with the VMM %s runs as `up --vmm` %s asks: %s',
  (vmm, asked, expected) => {
    expect(runsAsAsked({ labels: ['a'], vmm }, { labels: ['a'], vmm: asked })).toBe(expected);
  },
);
