import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { type Templates, vmmMemoryMiB } from '@fumehood/microvm';
import { describe, expect, it } from 'vitest';
import { serveVms, type VmPolicy } from './serve-vms.ts';

/** An agent whose calls are made here. A VM does not start, because the host has no launcher. */
class FakeAgent extends EventEmitter {
  readonly connected = true;
  readonly answers: Record<string, unknown>[] = [];
  send(message: Record<string, unknown>, _socket: unknown, _options: unknown, sent: () => void): void {
    this.answers.push(message);
    sent();
  }
}

const resources = { cpus: 4, memoryMiB: 2_000, scratchMiB: 1_000 };
const vmms = { emulated: { name: 'qemu' } };
const host = { launcher: '/none', diskDirectory: '/none', runDirectory: '/none' };
const fitting = { cpus: 2, memoryMiB: 1_000, scratchMiB: 600 };

/** No VM of this host can be a clone. */
const templates: Templates = {
  take: async () => ({ template: null, why: { code: 'none', message: 'there is none' } }),
  removeAll: async () => {},
};

/** Asks for VMs of these sizes at once, and returns why each was refused. */
async function refusals(...sizes: (typeof fitting)[]): Promise<string[]> {
  const agent = new FakeAgent();
  const policy = { host, vmms, templates, resources, firstUid: null, maxVms: 8 } as unknown as VmPolicy;
  serveVms(agent as unknown as ChildProcess, policy);
  for (const [at, size] of sizes.entries()) {
    const spec = { id: `j${at}`, acceleration: 'emulated', disks: [], ...size };
    agent.emit('message', { type: 'vm.start', id: at + 1, spec, boots: false });
  }
  await expect.poll(() => agent.answers.length).toBe(sizes.length);
  return agent.answers
    .toSorted((one, other) => Number(one.id) - Number(other.id))
    .map(({ error }) => (error as { message: string }).message);
}

describe('the helper holds the sizes of virtual machines against what the executor may use', () => {
  it.each<[string, Partial<typeof fitting>]>([
    ['cpus', { cpus: 5 }],
    ['memoryMiB', { memoryMiB: resources.memoryMiB - vmmMemoryMiB + 1 }],
    ['scratchMiB', { scratchMiB: 1_001 }],
  ])('refuses one with more %s', async (name, more) => {
    const [why] = await refusals({ ...fitting, ...more });
    expect(why).toContain(`the VM was not started: it asks for ${name}`);
  });

  it('refuses one for which the others leave too little', async () => {
    const [first, second] = await refusals(fitting, fitting);
    expect(first).not.toContain('it asks for'); // it fails later, for want of a launcher
    expect(second).toContain('it asks for memoryMiB 1000, and 232 are free on this executor');
  });

  it('frees what a VM that did not start had reserved', async () => {
    const agent = new FakeAgent();
    const policy = { host, vmms, templates, resources, firstUid: null, maxVms: 8 } as unknown as VmPolicy;
    serveVms(agent as unknown as ChildProcess, policy);
    for (const id of [1, 2]) {
      agent.emit('message', {
        ...{ type: 'vm.start', id, boots: false },
        spec: { id: `j${id}`, acceleration: 'emulated', disks: [], ...fitting },
      });
      await expect.poll(() => agent.answers.length).toBe(id);
    }
    for (const { error } of agent.answers)
      expect((error as { message: string }).message).not.toContain('it asks for');
  });
});
