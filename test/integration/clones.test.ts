import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, chown, type FileHandle, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import {
  buildLauncher,
  canLimit,
  connectGuest,
  guestRecipe,
  makeTemplate,
  startVm,
  type Template,
  type VmHost,
  vmmOf,
} from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareGuest } from '../../packages/executor/src/runtime/microvm/prepare-guest.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { long } from '../long.ts';

const isRoot = process.getuid?.() === 0;
const shape = { acceleration: 'emulated', cpus: 1, memoryMiB: 256 } as const;
const disk = 'busybox.sqfs';
let root: string;
let host: VmHost;
let template: Template;
let clones = 0;

const identity = (at: number) => (isRoot ? { uid: 1_900_001_910 + at, gid: 1_900_001_910 + at } : null);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-clones-'));
  await chmod(root, 0o711);
  for (const name of ['images', 'disks', 'run']) await mkdir(join(root, name), { mode: 0o700 });
  await busyboxImage(join(root, 'images'), 'busybox', {}, []);
  const path = join(root, 'disks', disk);
  const layer = readFileSync(join(root, 'images', 'busybox.layer'));
  execFileSync('/usr/bin/sqfstar', ['-quiet', '-no-progress', '-comp', 'lz4', path], { input: layer });
  const diskOwner = isRoot ? 1_900_000_003 : (process.getuid?.() ?? 0);
  await chown(path, diskOwner, -1);
  host = {
    vmm: vmmOf('qemu', '/usr/bin/qemu-system-x86_64'),
    launcher: await buildLauncher(join(root, 'launcher')),
    guest: await testGuest(join(root, 'guest')),
    diskDirectory: join(root, 'disks'),
    diskOwner,
    runDirectory: join(root, 'run'),
    identity: identity(0),
    cgroups: await canLimit(),
  };
  template = await makeTemplate(shape, host, systemClock);
});
afterAll(async () => {
  await template.remove();
  expect(await readdir(join(root, 'run'))).toEqual([]);
  await rm(root, { recursive: true });
});

type Clone = Awaited<ReturnType<typeof startClone>>;

/** Starts a clone whose guest has confirmed that it is unique. */
async function startClone(of = template, on = host) {
  const at = ++clones;
  const spec = { ...shape, id: `clone-${at}`, scratchMiB: 64, disks: [disk] };
  const vm = await startVm(spec, { ...on, identity: identity(at) }, of.files);
  vm.sockets.lease.write(`R ${Math.floor(systemClock.bootTime() + 60_000)}\n`);
  vm.sockets.console.resume();
  const guest = connectGuest(vm.sockets, systemClock);
  const facts = await Promise.race([guest.knock(), guest.broken]);
  await vm.check();
  return { vm, guest, facts };
}

/** Runs a shell script in a container of the clone, and returns what it writes. */
async function runIn({ guest }: Clone, script: string): Promise<string> {
  const imageRoots = [{ mode: 0o755, uid: 0, gid: 0 }];
  const plan = { disks: [disk], imageSlots: [0], imageRoots, workspaceSlot: null };
  await prepareGuest(guest, plan, { hostname: 'job', files: {} });
  const output: Buffer[] = [];
  const take = (chunk: Buffer) => void output.push(chunk);
  const exit = await guest.step(
    {
      ...{ id: 'step', root: '/roots/0', argv: ['/bin/sh', '-c', script], env: ['PATH=/bin'], user: '' },
      ...{ cwd: '/', hostname: 'job', binds: [], volumes: [], memoryBytes: 200 * 2 ** 20, pids: 64 },
      ...{ deadlineMs: 20_000, graceMs: 0, stopSignal: 15 },
    },
    { stdin: null, stdout: take, stderr: take },
  );
  expect(exit, Buffer.concat(output).toString()).toMatchObject({ code: 0 });
  return Buffer.concat(output).toString();
}

/** Starts this many clones, as many at once as there are processors for, and returns what `use` makes of each. */
async function startClones<T>(count: number, use: (clone: Clone) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const started: Clone[] = [];
  try {
    for (let at = 0; at < count; at += 2) {
      const pair = await Promise.all([startClone(), startClone()]);
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
  it(`have random numbers, a boot id and a clock of their own before any code of a job runs`, async () => {
    const seen = await startClones(long ? 32 : 4, async (clone) => {
      expect(clone.facts.clockErrorMs).toBeLessThanOrEqual(500);
      const random = await runIn(clone, 'head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid');
      return [clone.facts.bootId, ...random.trim().split('\n')];
    });
    expect(new Set(seen.flat()).size).toBe(seen.length * 3);
  });

  it('would share them if the guest did not reseed', async () => {
    const init = join(root, 'init-without-reseed');
    cpSync(guestRecipe.init, init, { recursive: true });
    const edit = (name: string, from: string, to: string) => {
      const source = readFileSync(join(init, name), 'utf8');
      expect(source).toContain(from);
      writeFileSync(join(init, name), source.replace(from, to));
    };
    edit('commands.c', 'ioctl(random, RNDADDENTROPY, &pool) || ioctl(random, RNDRESEEDCRNG)', '0');
    // The kernel reseeds by itself a second after it did last, so the template reads a random number just before it is saved.
    edit('main.c', 'message_begin(&ready', 'char r[16];\n  syscall(318, r, 16, 0);\n  message_begin(&ready');
    const guest = await testGuest(join(root, 'guest-without-reseed'), { ...guestRecipe, init });
    const shared = await makeTemplate(shape, { ...host, guest }, systemClock);
    const twins: Clone[] = [];
    try {
      for (let at = 0; at < 2; at++) twins.push(await startClone(shared, { ...host, guest }));
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
    expect(blocks * 512).toBe(shape.memoryMiB * 2 ** 20);
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
});

describe('a template that cannot be made', () => {
  it('for want of a VMM that runs leaves nothing on the host, and the error says what happened', async () => {
    const broken = { ...host, vmm: vmmOf('qemu', '/usr/bin/false') };
    await expect(makeTemplate(shape, broken, systemClock)).rejects.toMatchObject({ code: 'guest_not_ready' });
    const left = (await readdir(join(root, 'run'))).filter((file) => !file.includes(template.id));
    expect(left).toEqual([]);
  });
});
