import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { type Templates, type VmProcess, vmmMemoryMiB } from '@fumehood/microvm';
import { describe, expect, it, vi } from 'vitest';
import type { Networks } from './networks.ts';
import { serveVms, type VmPolicy } from './serve-vms.ts';

/** A VM that starts in the place of each real one, if it is set. */
const fake = vi.hoisted<{ vm: VmProcess | null }>(() => ({ vm: null }));
vi.mock(import('@fumehood/microvm'), async (original) => {
  const real = await original();
  const startVm: typeof real.startVm = async (...asked) => fake.vm ?? real.startVm(...asked);
  return { ...real, startVm };
});

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

const egressCeiling = { mode: 'public' };
/** None of these VMs has a network. */
const networks: Pick<Networks, 'close'> = { close: async () => {} };

/** Asks for VMs of these sizes at once, and returns why each was refused. */
async function refusals(...sizes: (typeof fitting)[]): Promise<string[]> {
  const agent = new FakeAgent();
  const policy = {
    host,
    vmms,
    templates,
    networks,
    egressCeiling,
    resources,
    firstUid: null,
    maxVms: 8,
  } as unknown as VmPolicy;
  serveVms(agent as unknown as ChildProcess, policy);
  for (const [at, size] of sizes.entries()) {
    const spec = { id: `j${at}`, acceleration: 'emulated', disks: [], ...size };
    agent.emit('message', {
      type: 'vm.start',
      id: at + 1,
      spec,
      boots: false,
      policy: { mode: 'none' },
      broker: [],
      queue: null,
    });
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
    const policy = {
      host,
      vmms,
      templates,
      networks,
      egressCeiling,
      resources,
      firstUid: null,
      maxVms: 8,
    } as unknown as VmPolicy;
    serveVms(agent as unknown as ChildProcess, policy);
    for (const id of [1, 2]) {
      agent.emit('message', {
        ...{ type: 'vm.start', id, boots: false, policy: { mode: 'none' }, broker: [], queue: null },
        spec: { id: `j${id}`, acceleration: 'emulated', disks: [], ...fitting },
      });
      await expect.poll(() => agent.answers.length).toBe(id);
    }
    for (const { error } of agent.answers)
      expect((error as { message: string }).message).not.toContain('it asks for');
  });

  it('starts no VM on the disk space of another one before the host has it again', async () => {
    const freed = Promise.withResolvers<void>();
    const exited = new Promise<never>(() => {});
    const destroy = async () => ({ files: 0 });
    fake.vm = {
      sockets: {},
      guest: exited,
      exited,
      kill() {},
      destroy,
      freed: freed.promise,
    } as unknown as VmProcess;
    const agent = new FakeAgent();
    const policy = {
      host,
      vmms,
      templates,
      networks,
      egressCeiling,
      resources,
      firstUid: null,
      maxVms: 8,
    } as unknown as VmPolicy;
    serveVms(agent as unknown as ChildProcess, policy);
    const start = (id: number, scratchMiB: number) =>
      agent.emit('message', {
        ...{ type: 'vm.start', id, boots: false, policy: { mode: 'none' }, broker: [], queue: null },
        spec: { id: `j${id}`, acceleration: 'emulated', disks: [], cpus: 1, memoryMiB: 128, scratchMiB },
      });
    const answered = (type: string) =>
      agent.answers.filter((answer) => answer.type === type).map(({ id }) => id);
    start(1, 600);
    await expect.poll(() => answered('vm.started')).toEqual([1]);
    agent.emit('message', { type: 'vm.destroy', id: 1 });
    await expect.poll(() => answered('vm.destroyed')).toEqual([1]);
    start(2, 600);
    start(3, 400);
    await expect.poll(() => answered('vm.started')).toEqual([1, 3]);
    freed.resolve();
    await expect.poll(() => answered('vm.started')).toEqual([1, 3, 2]);
    expect(answered('vm.refused')).toEqual([]);
    fake.vm = null;
  });

  it('has the network of a guest served under no more than the ceiling of the executor, whatever the agent asks for', async () => {
    const never = new Promise<never>(() => {});
    fake.vm = {
      sockets: {},
      guest: never,
      exited: never,
      network: Promise.resolve({}),
    } as unknown as VmProcess;
    const opened: unknown[] = [];
    const serving = { ...networks, open: async (...asked: unknown[]) => void opened.push(asked[2]) };
    const ceiling = { mode: 'allow', hosts: [{ name: '*.test', ports: null }] };
    const agent = new FakeAgent();
    const policy = {
      host,
      vmms,
      templates,
      networks: serving,
      egressCeiling: ceiling,
      resources,
      firstUid: null,
    };
    serveVms(agent as unknown as ChildProcess, { ...policy, maxVms: 8 } as unknown as VmPolicy);
    const spec = { id: 'j1', acceleration: 'emulated', disks: [], ...fitting };
    agent.emit('message', {
      type: 'vm.start',
      id: 1,
      boots: false,
      policy: { mode: 'public' },
      broker: [],
      queue: 'runs',
      spec,
    });
    await expect.poll(() => opened).toEqual([{ policy: ceiling, broker: [], queue: 'runs' }]);
    fake.vm = null;
  });
});
