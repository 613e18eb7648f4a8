import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import {
  buildLauncher,
  connectGuest,
  type Guest,
  type GuestRecipe,
  type GuestStep,
  vmmOf,
  type StepExit,
} from '@fumehood/microvm';
import { prepareGuest } from '../../packages/executor/src/runtime/microvm/prepare-guest.ts';
import { withoutNetwork } from '../../packages/executor/src/runtime/microvm/vm-source.ts';
import { localVms } from '../../packages/executor/src/testing/local-vms.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { busyboxImage, type ImageFile } from '../../packages/executor/src/testing/test-images.ts';

const isRoot = process.getuid?.() === 0;
const diskName = 'attack.sqfs';
const diskOwner = isRoot ? 1_900_000_003 : (process.getuid?.() ?? 0);
/** A VM lives no longer than this, ms. */
const vmLeaseMs = 100_000;

/** Compiles the attack program and returns it as a file of an image. */
export function attackProgram(directory: string): ImageFile {
  const binary = join(directory, 'attack');
  const sources = join(import.meta.dirname, 'attack');
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const flags = ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', binary];
  execFileSync('gcc', [...flags, ...files.map((name) => join(sources, name))]);
  return { path: 'attack', content: readFileSync(binary), mode: 0o755 };
}

/** What an attack did: how its step ended, and the result of each attempt by its name. */
export interface Attack {
  readonly exit: StepExit;
  readonly results: ReadonlyMap<string, string>;
}

/** A guest that runs attacks as steps, all on the same image, as root. What a step changes in the image stays for the next. */
export interface AttackedGuest {
  readonly guest: Guest;
  readonly attack: (argv: readonly string[], facts?: Partial<GuestStep>) => Promise<Attack>;
}

/** Boots a VM with these files in its image, and destroys it after `use`. Many attacks share one boot this way. */
export async function withGuest<T>(
  files: readonly ImageFile[],
  use: (attacked: AttackedGuest) => Promise<T>,
  recipe?: GuestRecipe,
): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), 'fumehood-hostile-'));
  try {
    await chmod(root, 0o711);
    const at = (name: string) => join(root, name);
    for (const name of ['images', 'disks', 'run']) await mkdir(at(name), { mode: 0o711 });
    await busyboxImage(at('images'), 'attack', {}, files);
    const disk = join(at('disks'), diskName);
    const layer = readFileSync(join(at('images'), 'attack.layer'));
    execFileSync('/usr/bin/sqfstar', ['-quiet', '-no-progress', '-comp', 'lz4', disk], { input: layer });
    await chown(disk, diskOwner, -1);
    const source = localVms({
      vmm: vmmOf('qemu', '/usr/bin/qemu-system-x86_64'),
      launcher: await buildLauncher(at('launcher')),
      guest: await testGuest(at('guest'), recipe),
      diskDirectory: at('disks'),
      diskOwner,
      runDirectory: at('run'),
      identity: isRoot ? { uid: 1_900_001_907, gid: 1_900_001_907 } : null,
    });
    const size = { cpus: 1, memoryMiB: 256, scratchMiB: 64 };
    const spec = { id: 'hostile', acceleration: 'emulated' as const, ...size, disks: [diskName] };
    const vm = await source.startVm(spec, { boots: true, ...withoutNetwork });
    try {
      vm.sockets.console.resume();
      vm.renew(systemClock.bootTime() + vmLeaseMs);
      const guest = connectGuest(await vm.guest, systemClock);
      await Promise.race([guest.ready(20_000), guest.broken]);
      const imageRoots = [{ mode: 0o755, uid: 0, gid: 0 }];
      const plan = { disks: [diskName], imageSlots: [0], imageRoots, workspaceSlot: null, tools: null };
      await guest.knock();
      await prepareGuest(guest, plan, { hostname: 'job', network: false, files: {} });
      return await use(attackedGuest(guest));
    } finally {
      await vm.destroy();
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

function attackedGuest(guest: Guest): AttackedGuest {
  let steps = 0;
  return {
    guest,
    async attack(argv, facts = {}) {
      const output: Buffer[] = [];
      const collect = (chunk: Buffer) => void output.push(chunk);
      const step: GuestStep = {
        ...{ id: `step-${(steps += 1)}`, root: '/roots/0', argv, env: ['PATH=/bin'], user: '', cwd: '/' },
        ...{
          hostname: 'job',
          binds: [],
          volumes: [],
          memoryBytes: 128 * 2 ** 20,
          pids: 64,
          deadlineMs: 20_000,
          stopSignal: 15,
          graceMs: 0,
        },
        ...facts,
      };
      const exit = await guest.step(step, { stdin: null, stdout: collect, stderr: collect });
      const lines = Buffer.concat(output).toString('utf8').trimEnd().split('\n');
      return { exit, results: new Map(lines.map((line) => line.split('\t') as [string, string])) };
    },
  };
}
