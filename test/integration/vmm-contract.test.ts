import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  guestRecipe,
  type NetworkHandles,
  networkMissing,
  type Template,
  type Vmm,
  type VmProcess,
  vmmOf,
} from '@fumehood/microvm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { guestPaths } from '../../packages/executor/src/runtime/microvm/prepare-guest.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { CloneHost, type StartedVm } from '../clone-host.ts';
import { long } from '../long.ts';
import { acceleration, vmmsHere } from '../vmms.ts';

/**
 * What every VMM has to do. `npm run test:nested` runs this file on a processor with hardware virtualization, where some tests that are
 * not about a VMM are left out.
 */
const emulated = acceleration === 'emulated';
const nothing = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };

/** Kills the VMMs of templates that are being made. */
function killTemplates({ binary }: Vmm): void {
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'latin1') : '';
    if (command.startsWith(`${binary}\0`) && command.includes('\0fumehood-template-'))
      process.kill(Number(pid), 'SIGKILL');
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

describe.each(vmmsHere)('$name', ({ vmm }) => {
  describe.skipIf(vmm === null)(acceleration, () => contract(vmm as Vmm));
});

function contract(vmm: Vmm): void {
  let host: CloneHost;
  let template: Template;

  beforeAll(async () => {
    host = await CloneHost.make(vmm, acceleration);
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
        expect(left).toEqual(nothing);
    }
  }

  describe.each(['a VM that boots', 'a clone'])('%s', (kind) => {
    it('runs steps on its disks, streams their input and output, and gives a file out', async () => {
      const started = await host.start(kind === 'a clone' ? template : null);
      try {
        expect(started.facts.interfaces).toEqual(['lo']);
        await host.prepare(started);
        const script = 'cat; echo to stderr >&2; wc -c </second; echo kept >/file';
        const argv = ['/bin/sh', '-c', script];
        const stdin = Readable.from(['to stdin\n']);
        const output = await host.step(started, argv, { image: 1, stdin });
        expect(output.trim().split('\n').sort()).toEqual(['1048576', 'to stderr', 'to stdin']);
        // The other slot has another disk, and its root a part of the scratch disk of its own.
        expect(await host.step(started, ['/bin/ls', '/'])).not.toMatch(/second|file/);
        const who = { id: 'file', root: guestPaths.root(1), uid: 0, gid: 0 };
        const file = { ...who, path: 'file', as: 'file' as const, maxBytes: 99 };
        expect((await buffer(started.guest.collect(file))).toString()).toBe('kept\n');
      } finally {
        expect(await started.vm.destroy()).toEqual(nothing);
      }
    });
  });

  it.skipIf(networkMissing() !== null)(
    'gives a clone a network, whose connections the host accepts',
    async () => {
      const networked = await host.makeTemplate({ hasNetwork: true });
      const { vm, ...rest } = await host.start(networked, { hasNetwork: true });
      const { connections, questions } = (await vm.network) as NetworkHandles;
      const accepted: Socket[] = [];
      const server = createServer((socket) => {
        accepted.push(socket);
        socket.end(`HTTP/1.0 200 OK\r\n\r\n${socket.localAddress}:${socket.localPort}`);
      }).listen(connections);
      try {
        expect(rest.facts.interfaces.toSorted()).toEqual(['eth0', 'lo']);
        expect(await runIn({ vm, ...rest }, 'wget -q -O - http://192.0.2.7:8080/')).toBe('192.0.2.7:8080');
      } finally {
        questions.close();
        server.close();
        for (const socket of accepted) socket.destroy();
        expect(await vm.destroy()).toEqual(nothing);
        await networked.remove();
      }
    },
  );

  it('pauses a guest, whose memory can then be searched, and ends it', async () => {
    const { vm, guest, ...rest } = await host.start(template);
    try {
      const started = { vm, guest, ...rest };
      await host.prepare(started);
      let outputs = 0;
      const argv = ['/bin/sh', '-c', 'while :; do echo needle in its memory; usleep 10000; done'];
      const step = host.step(started, argv, { onOutput: () => void outputs++ });
      step.catch(() => {}); // it ends with the VM
      await expect.poll(() => outputs, { timeout: 20_000 }).toBeGreaterThan(2);
      const monitor = vmm.openMonitor((await vm.guest).monitor);
      await monitor.pause();
      await sleep(100); // what is under way arrives
      const before = outputs;
      await sleep(300);
      expect(outputs).toBe(before);
      const { found } = await vm.search([
        Buffer.from('needle in its memory'),
        Buffer.from('haystack in none'),
      ]);
      expect(found).toEqual([expect.any(Number), 0]);
      expect(found[0]).toBeGreaterThan(0);
      vm.sockets.lease.write('K\n');
      expect(await vm.exited).toMatchObject({ reason: 'killed', signal: 9 });
    } finally {
      expect(await vm.destroy()).toEqual(nothing);
    }
  });

  describe('clones of one template', () => {
    it('have random numbers, a boot id and a clock of their own before any code of a job runs', async () => {
      const seen = await startClones(long && emulated ? 32 : 4, async (clone) => {
        expect(clone.facts.clockErrorMs).toBeLessThanOrEqual(500);
        const random = await runIn(
          clone,
          'head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid',
        );
        return [clone.facts.bootId, ...random.trim().split('\n')];
      });
      expect(new Set(seen.flat()).size).toBe(seen.length * 3);
    });

    it.runIf(emulated)('would share them if the guest did not reseed', async () => {
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
      const bootId = async () => {
        const { vm, facts } = await host.start(shared, { guest });
        await vm.destroy();
        return facts.bootId;
      };
      try {
        // A clone that takes longer than that second has a number of its own all the same.
        await expect.poll(async () => (await bootId()) === (await bootId()), { timeout: 60_000 }).toBe(true);
      } finally {
        await shared.remove();
      }
    });

    it('do not change it, also when they write all of their memory', async () => {
      const { memory, state } = template.files;
      const before = [await digestOf(memory), await digestOf(state)];
      const { blocks } = await memory.stat();
      expect(blocks * 512).toBe(host.shape.memoryMiB * 2 ** 20);
      const [written] = await startClones(2, (clone) =>
        runIn(clone, 'dd if=/dev/zero of=/dev/shm/all bs=1M count=180 2>/dev/null; wc -c </dev/shm/all'),
      );
      expect(Number(written)).toBeGreaterThan(60 * 2 ** 20);
      expect([await digestOf(memory), await digestOf(state)]).toEqual(before);
      expect((await memory.stat()).blocks).toBe(blocks);
    });

    it('cannot be made from a template that changes: both of its parts are sealed', async () => {
      for (const { fd } of [template.files.memory, template.files.state]) {
        const write = () => writeFileSync(`/proc/self/fd/${fd}`, 'x', { flag: 'r+' });
        expect(write).toThrow('EPERM');
      }
    });

    it('leave nothing when they are killed at any moment of their start or of a step', async () => {
      for (let at = 0; at < 4; at++) {
        // test/crash/vm-kills.test.ts kills more of them
        let launched: VmProcess | null = null;
        const killed = host.start(template, {}, (vm) => {
          launched = vm;
          setTimeout(() => vm.kill(), at * 80);
        });
        const stepped = killed.then(async (clone) => {
          await host.prepare(clone);
          await host.step(clone, ['/bin/sleep', '9']);
        });
        await expect(stepped).rejects.toThrow();
        const vm = launched as VmProcess | null;
        expect(await vm?.destroy()).toEqual(nothing);
        expect(await vm?.exited).toMatchObject({ reason: 'killed' });
      }
    });
  });

  describe('a template that cannot be made leaves nothing on the host, and its error says why', () => {
    afterEach(async () => expect(await host.files()).toEqual([]));

    it('when its VMM does not run', async () => {
      const broken = host.makeTemplate({ vmm: vmmOf(vmm.name, '/usr/bin/false') });
      await expect(broken).rejects.toMatchObject({
        code: 'template_not_ready',
        message: expect.stringContaining('its VMM ended (exited, code 1)'),
      });
    });

    it('when its VMM ends before everything was saved', async () => {
      const interrupted = host.makeTemplate({
        vmm: {
          ...vmm,
          openMonitor(socket) {
            const save = () => {
              killTemplates(vmm);
              return new Promise<void>(() => {});
            };
            return { ...vmm.openMonitor(socket), save };
          },
        },
      });
      await expect(interrupted).rejects.toMatchObject({ code: 'template_interrupted' });
    });
  });
}
