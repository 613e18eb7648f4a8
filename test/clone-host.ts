import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { systemClock } from '@fumehood/base';
import {
  type Acceleration,
  buildLauncher,
  buildNetworkProgram,
  canLimit,
  connectGuest,
  type Guest,
  type GuestFacts,
  makeScratchDisk,
  makeTemplate,
  networkMissing,
  openScratchDisks,
  type ScratchDisks,
  slotsFor,
  type Shape,
  startVm,
  type Template,
  type VmHost,
  vmmOf,
  type VmProcess,
} from '@fumehood/microvm';
import { qemuPath } from '../packages/fumehood/src/up/vmm.ts';
import { guestPaths, prepareGuest } from '../packages/executor/src/runtime/microvm/prepare-guest.ts';
import { testGuest } from '../packages/executor/src/testing/test-guest.ts';
import { busyboxImage } from '../packages/executor/src/testing/test-images.ts';

const isRoot = process.getuid?.() === 0;
/** Disks that each VM has, in slot order: two images with busybox, of which the second has a file `/second`. */
const disks = ['first.sqfs', 'second.sqfs'];

/** A VM whose guest has confirmed that it is unique. */
export interface StartedVm {
  readonly vm: VmProcess;
  readonly guest: Guest;
  readonly facts: GuestFacts;
  /** The process id of its VMM. */
  readonly pid: number;
}

/** What of the host is another one, and whether the guest has a network. */
type Changes = Partial<VmHost> & { readonly hasNetwork?: boolean };

/** Starts VMs without an executor. */
export class CloneHost {
  readonly root: string;
  readonly host: VmHost;
  readonly shape: Shape;
  private readonly scratchDisks: ScratchDisks;
  private started = 0;

  private constructor(root: string, host: VmHost, scratchDisks: ScratchDisks, acceleration: Acceleration) {
    this.root = root;
    this.scratchDisks = scratchDisks;
    this.host = host;
    this.shape = { acceleration, cpus: 1, memoryMiB: 256, slots: slotsFor(disks.length) };
  }

  /** Runs VMs of this VMM, by default emulated ones of QEMU. */
  static async make(
    vmm = vmmOf('qemu', qemuPath),
    acceleration: Acceleration = 'emulated',
  ): Promise<CloneHost> {
    const root = await mkdtemp(join(tmpdir(), 'fumehood-clones-'));
    await chmod(root, 0o711);
    for (const name of ['images', 'disks', 'run']) await mkdir(join(root, name), { mode: 0o700 });
    const diskOwner = isRoot ? 1_900_000_003 : (process.getuid?.() ?? 0);
    for (const disk of disks) {
      const name = basename(disk, '.sqfs');
      const files =
        name === 'second' ? [{ path: name, content: Buffer.alloc(2 ** 20, 'x'), mode: 0o644 }] : [];
      await busyboxImage(join(root, 'images'), name, {}, files);
      const path = join(root, 'disks', disk);
      const layer = readFileSync(join(root, 'images', `${name}.layer`));
      execFileSync('/usr/bin/sqfstar', ['-quiet', '-no-progress', '-comp', 'lz4', path], { input: layer });
      await chown(path, diskOwner, -1);
    }
    let made = 0;
    const scratchDisks = openScratchDisks({
      make: (sizeMiB) => makeScratchDisk(join(root, 'run', `fumehood-scratch-${++made}.ext4`), sizeMiB),
      freeMiB: () => 1024,
      sleep: (ms) => systemClock.sleep(ms),
    });
    const host = {
      vmm,
      launcher: await buildLauncher(join(root, 'launcher')),
      guest: await testGuest(join(root, 'guest')),
      diskDirectory: join(root, 'disks'),
      diskOwner,
      runDirectory: join(root, 'run'),
      network:
        networkMissing() === null ? { program: await buildNetworkProgram(join(root, 'launcher')) } : null,
      scratchDisks,
      identity: identity(0),
      cgroups: await canLimit(),
    };
    return new CloneHost(root, host, scratchDisks, acceleration);
  }

  /** Makes a template, of another guest or on another VMM where `changes` say so. */
  makeTemplate({ hasNetwork: network, ...changes }: Changes = {}): Promise<Template> {
    return makeTemplate(
      { ...this.shape, ...(network && { network }) },
      { ...this.host, ...changes },
      systemClock,
    );
  }

  /** Starts a clone of a template, or a VM that boots. `onLaunched` gets it before its guest has answered. */
  async start(
    template: Template | null,
    { hasNetwork: network = false, ...changes }: Changes = {},
    onLaunched: (vm: VmProcess) => void = () => {},
    behindKnock: (guest: Guest) => void = () => {},
  ): Promise<StartedVm> {
    const at = (this.started += 1);
    const spec = { ...this.shape, id: `clone-${at}`, scratchMiB: 64, disks, network };
    const host = { ...this.host, ...changes, identity: identity(1 + (at % 64)) };
    const vm = await startVm(spec, host, template?.files ?? null);
    onLaunched(vm);
    try {
      vm.sockets.lease.write(`R ${Math.floor(systemClock.bootTime() + 100_000)}\n`);
      vm.sockets.console.resume();
      const guest = connectGuest(await vm.guest, systemClock);
      if (!template) await Promise.race([guest.ready(30_000), guest.broken]);
      const knocked = Promise.race([guest.knock(), guest.broken]);
      behindKnock(guest);
      const facts = await knocked;
      return { vm, guest, facts, pid: await vm.check() };
    } catch (error) {
      await vm.destroy();
      throw error;
    }
  }

  /**
   * Starts a clone, or a VM that boots, and makes a root of each image in it, as an executor does: the mounts are sent behind
   * the knock. `onConfirmed` is called when the guest has confirmed that it is unique.
   */
  async startPrepared(template: Template | null, onConfirmed = () => {}): Promise<StartedVm> {
    let prepared = Promise.resolve();
    const started = await this.start(template, {}, undefined, (guest) => {
      prepared = this.prepare({ guest });
      prepared.catch(() => {}); // awaited below
    });
    onConfirmed();
    await prepared;
    return started;
  }

  /** Makes a root of each image in the guest. */
  async prepare({ guest }: Pick<StartedVm, 'guest'>): Promise<void> {
    const imageRoots = disks.map(() => ({ mode: 0o755, uid: 0, gid: 0 }));
    const plan = { disks, imageSlots: [...disks.keys()], imageRoots, workspaceSlot: null, tools: null };
    await prepareGuest(guest, plan, { hostname: 'job', network: true, files: {} });
  }

  /**
   * Runs a command in a prepared guest, in the image of this slot. Returns what it writes to stdout and stderr; rejects if it does not
   * exit with 0.
   */
  async step(
    { guest }: StartedVm,
    argv: readonly string[],
    {
      image = 0,
      stdin = null,
      onOutput = () => {},
    }: { image?: number; stdin?: Readable | null; onOutput?: () => void } = {},
  ): Promise<string> {
    const output: Buffer[] = [];
    const take = (chunk: Buffer) => {
      onOutput();
      output.push(chunk);
    };
    const { code, reason } = await guest.step(
      {
        ...{ id: 'step', root: guestPaths.root(image), argv, env: ['PATH=/bin'], user: '', cwd: '/' },
        ...{ hostname: 'job', binds: [], volumes: [], memoryBytes: 200 * 2 ** 20, pids: 64 },
        ...{ deadlineMs: 20_000, graceMs: 0, stopSignal: 15 },
      },
      { stdin, stdout: take, stderr: take },
    );
    const text = Buffer.concat(output).toString();
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code} (${reason}): ${text}`);
    return text;
  }

  /** Names of the files in the directory of VMs. */
  files(): Promise<string[]> {
    return readdir(join(this.root, 'run'));
  }

  async remove(): Promise<void> {
    await this.scratchDisks.close();
    await rm(this.root, { recursive: true });
  }
}

function identity(at: number): VmHost['identity'] {
  return isRoot ? { uid: 1_900_002_000 + at, gid: 1_900_002_000 + at } : null;
}
