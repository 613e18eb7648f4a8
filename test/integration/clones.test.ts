import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { guestRecipe, type Template, type VmProcess, vmmOf } from '@fumehood/microvm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { CloneHost, type StartedVm } from '../clone-host.ts';
import { long } from '../long.ts';

let host: CloneHost;
let template: Template;

beforeAll(async () => {
  host = await CloneHost.make();
  template = await host.makeTemplate();
});
afterAll(async () => {
  await template.remove();
  expect(await host.files()).toEqual([]);
  await host.remove();
});

/** Runs a shell script in a container of the VM, and returns what it writes. */
async function runIn(vm: StartedVm, script: string): Promise<string> {
  await host.prepare(vm);
  return host.step(vm, ['/bin/sh', '-c', script]);
}

/** Starts this many clones, two at once, and returns what `use` makes of each. All run until the last one has been used. */
async function startClones<T>(count: number, use: (clone: StartedVm) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const started: StartedVm[] = [];
  try {
    for (let at = 0; at < count; at += 2) {
      const pair = await Promise.all([host.start(template), host.start(template)]);
      started.push(...pair);
      results.push(...(await Promise.all(pair.map(use))));
    }
    return results;
  } finally {
    for (const left of await Promise.all(started.map(({ vm }) => vm.destroy())))
      expect(Object.values(left)).toEqual([0, 0, 0, 0, 0, 0]);
  }
}

const digestOf = async (file: FileHandle): Promise<string> => {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(4 * 2 ** 20);
  for (let at = 0; ; at += chunk.length) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(chunk.subarray(0, bytesRead));
  }
};

describe('clones of one template', () => {
  it('have random numbers, a boot id and a clock of their own before any code of a job runs', async () => {
    const seen = await startClones(long ? 32 : 4, async (clone) => {
      expect(clone.facts.clockErrorMs).toBeLessThanOrEqual(500);
      const random = await runIn(clone, 'head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid');
      return [clone.facts.bootId, ...random.trim().split('\n')];
    });
    expect(new Set(seen.flat()).size).toBe(seen.length * 3);
  });

  it('would share them if the guest did not reseed', async () => {
    const init = join(host.root, 'init-without-reseed');
    cpSync(guestRecipe.init, init, { recursive: true });
    const edit = (name: string, from: string, to: string) => {
      const source = readFileSync(join(init, name), 'utf8');
      expect(source).toContain(from);
      writeFileSync(join(init, name), source.replace(from, to));
    };
    edit('commands.c', 'ioctl(random, RNDADDENTROPY, &pool) || ioctl(random, RNDRESEEDCRNG)', '0');
    // The kernel reseeds by itself a second after it did last, so the template reads a random number just before it is saved.
    edit('main.c', 'control_begin();', 'char r[16];\n  syscall(318, r, 16, 0);\n  control_begin();');
    const guest = await testGuest(join(host.root, 'guest-without-reseed'), { ...guestRecipe, init });
    const shared = await host.makeTemplate({ guest });
    const twins: StartedVm[] = [];
    try {
      for (let at = 0; at < 2; at++) twins.push(await host.start(shared, { guest }));
      expect(new Set(twins.map(({ facts }) => facts.bootId)).size).toBe(1);
    } finally {
      for (const { vm } of twins) await vm.destroy();
      await shared.remove();
    }
  });

  it('do not change it, also when they write all of their memory', async () => {
    const { memory, state } = template.files;
    const before = [await digestOf(memory), await digestOf(state)];
    const { blocks } = await memory.stat();
    expect(blocks * 512).toBe(CloneHost.shape.memoryMiB * 2 ** 20);
    const [written] = await startClones(2, (clone) =>
      runIn(clone, 'dd if=/dev/zero of=/dev/shm/all bs=1M count=180 2>/dev/null; wc -c </dev/shm/all'),
    );
    expect(Number(written)).toBeGreaterThan(60 * 2 ** 20);
    expect([await digestOf(memory), await digestOf(state)]).toEqual(before);
    expect((await memory.stat()).blocks).toBe(blocks);
  });

  it('cannot be made from a template that changes: both of its parts are sealed', async () => {
    for (const { fd } of Object.values(template.files)) {
      const write = () => writeFileSync(`/proc/self/fd/${fd}`, 'x', { flag: 'r+' });
      expect(write).toThrow('EPERM');
    }
  });

  it('leave nothing when they are killed at any moment of their start or of a step', {
    timeout: 1_800_000,
  }, async () => {
    for (let at = 0; at < (long ? 1_000 : 12); at++) {
      let launched: VmProcess | null = null;
      const killed = host.start(template, {}, (vm) => {
        launched = vm;
        setTimeout(() => vm.kill(), (at * 37) % 300);
      });
      const stepped = killed.then(async (clone) => {
        await host.prepare(clone);
        await host.step(clone, ['/bin/sleep', '9']);
      });
      await expect(stepped).rejects.toThrow();
      expect(Object.values((await (launched as VmProcess | null)?.destroy()) ?? {})).toEqual([
        0, 0, 0, 0, 0, 0,
      ]);
    }
  });
});

describe('a template that cannot be made leaves nothing on the host, and its error says why', () => {
  afterEach(async () => expect(await host.files()).toEqual([]));

  it('when its VMM does not run', async () => {
    const broken = host.makeTemplate({ vmm: vmmOf('qemu', '/usr/bin/false') });
    await expect(broken).rejects.toMatchObject({
      code: 'template_not_ready',
      message: expect.stringContaining('its VMM ended (exited, code 1)'),
    });
  });

  it('when its VMM ends before everything was saved', async () => {
    const vmm = vmmOf('qemu', '/usr/bin/qemu-system-x86_64');
    const interrupted = host.makeTemplate({
      vmm: {
        ...vmm,
        openMonitor(socket) {
          const monitor = vmm.openMonitor(socket);
          return { ...monitor, save: () => monitor.end() };
        },
      },
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'template_interrupted' });
  });
});
