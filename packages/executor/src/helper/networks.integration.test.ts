import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import {
  buildNetworkProgram,
  canLimit,
  countHolders,
  madeNetwork,
  networkCommand,
  networkMissing,
} from '@fumehood/microvm';
import { build } from 'esbuild';
import type { Receipt } from '@fumehood/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Networks, openNetworks } from './networks.ts';
import { networkGroup } from './program-groups.ts';

let directory: string;
let program: string;
let networks: Networks;
const vmms: ChildProcess[] = [];
const warned: object[] = [];

beforeAll(async () => {
  if (networkMissing() !== null) return;
  directory = await mkdtemp(join(tmpdir(), 'fumehood-networks-'));
  program = await buildNetworkProgram(directory);
  const config = join(directory, 'egress.json');
  await writeFile(config, '{}');
  const script = join(directory, 'program/egress-main.mjs');
  const source = join(import.meta.dirname, '../../../egress/src/main.ts');
  await build({
    ...{ entryPoints: [source], outfile: script, bundle: true, platform: 'node', format: 'esm' },
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
  });
  const group = (await canLimit()) ? networkGroup(directory) : null;
  networks = openNetworks(
    { node: process.execPath, script, config, identity: null, group },
    { ceiling: { mode: 'public' }, privateHosts: [] },
    systemClock,
    {
      warn: (facts: object) => void warned.push(facts),
    },
  );
});
afterEach(async () => {
  await networks.stop();
  expect(servingPids()).toEqual([]);
  for (const vmm of vmms) vmm.kill('SIGKILL');
  await Promise.all(vmms.filter(({ signalCode }) => signalCode === null).map((vmm) => once(vmm, 'exit')));
});
afterAll(async () => {
  if (directory) await rm(directory, { recursive: true });
});

/** Returns the processes that serve networks: children of this one. */
function servingPids(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
    .split(' ')
    .filter(Boolean);
  const isServing = (pid: string) =>
    existsSync(`/proc/${pid}/cmdline`) &&
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('egress-main');
  return children.filter(isServing).map(Number);
}

/** Makes the network of a VM in which `sleep` plays the VMM, and has it served. Resolves with its namespace. */
async function openNetwork(id: number, receipts: Receipt[]): Promise<number> {
  const [file = '', ...args] = networkCommand({ program }, { tap: { owner: 0 }, channel: 3 }, [
    '/bin/sleep',
    '60',
  ]);
  const vmm = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: {} });
  vmms.push(vmm);
  const { handles, namespace } = await madeNetwork(vmm);
  await networks.open(
    id,
    handles,
    { policy: { mode: 'public' }, broker: [], queue: null },
    (receipt) => void receipts.push(receipt),
  );
  await expect.poll(() => countHolders({ program }, namespace)).toBe(2);
  return namespace;
}

describe.skipIf(networkMissing() !== null)('the process that serves networks', () => {
  it('is in a cgroup, lets go of a network that is closed, and leaves nothing when it is killed: its guests are told, and the next one has a new process', async () => {
    const receipts: Receipt[] = [];
    const [first, second] = [await openNetwork(1, receipts), await openNetwork(2, [])];
    await networks.close(2);
    expect(await countHolders({ program }, second)).toBe(0);
    const [pid] = servingPids();
    if (await canLimit())
      expect(readFileSync(`/proc/${pid}/cgroup`, 'latin1')).toMatch(/fumehood-program-\w+-networks$/m);
    process.kill(pid as number, 'SIGKILL');
    await expect.poll(() => receipts).toMatchObject([{ verdict: 'refused', reason: 'gateway_ended' }]);
    await expect.poll(() => countHolders({ program }, first)).toBe(0);
    expect(warned).toHaveLength(1);
    await networks.close(1);
    const third = await openNetwork(3, []);
    expect(servingPids()).not.toContain(pid);
    await networks.close(3);
    expect(await countHolders({ program }, third)).toBe(0);
  });
});
