import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import {
  buildLauncher,
  canLimit,
  connectGuest,
  type Guest,
  type GuestFacts,
  makeTemplate,
  startVm,
  type Template,
  type VmHost,
  vmmOf,
  type VmProcess,
} from '@fumehood/microvm';
import { prepareGuest } from '../packages/executor/src/runtime/microvm/prepare-guest.ts';
import { testGuest } from '../packages/executor/src/testing/test-guest.ts';
import { busyboxImage } from '../packages/executor/src/testing/test-images.ts';

const isRoot = process.getuid?.() === 0;
const disk = 'busybox.sqfs';

/** A VM whose guest has confirmed that it is unique. */
export interface StartedVm {
  readonly vm: VmProcess;
  readonly guest: Guest;
  readonly facts: GuestFacts;
  /** The process id of its VMM. */
  readonly pid: number;
}

/** Starts VMs without an executor, each with an image that has busybox. */
export class CloneHost {
  static readonly shape = { acceleration: 'emulated', cpus: 1, memoryMiB: 256 } as const;
  readonly root: string;
  readonly host: VmHost;
  private started = 0;

  private constructor(root: string, host: VmHost) {
    this.root = root;
    this.host = host;
  }

  static async make(): Promise<CloneHost> {
    const root = await mkdtemp(join(tmpdir(), 'fumehood-clones-'));
    await chmod(root, 0o711);
    for (const name of ['images', 'disks', 'run']) await mkdir(join(root, name), { mode: 0o700 });
    await busyboxImage(join(root, 'images'), 'busybox', {}, []);
    const path = join(root, 'disks', disk);
    const layer = readFileSync(join(root, 'images', 'busybox.layer'));
    execFileSync('/usr/bin/sqfstar', ['-quiet', '-no-progress', '-comp', 'lz4', path], { input: layer });
    const diskOwner = isRoot ? 1_900_000_003 : (process.getuid?.() ?? 0);
    await chown(path, diskOwner, -1);
    return new CloneHost(root, {
      vmm: vmmOf('qemu', '/usr/bin/qemu-system-x86_64'),
      launcher: await buildLauncher(join(root, 'launcher')),
      guest: await testGuest(join(root, 'guest')),
      diskDirectory: join(root, 'disks'),
      diskOwner,
      runDirectory: join(root, 'run'),
      identity: identity(0),
      cgroups: await canLimit(),
    });
  }

  /** Makes a template, of another guest or on another VMM where `changes` say so. */
  makeTemplate(changes: Partial<VmHost> = {}): Promise<Template> {
    return makeTemplate(CloneHost.shape, { ...this.host, ...changes }, systemClock);
  }

  /** Starts a clone of a template, or a VM that boots. `onLaunched` gets it before its guest has answered. */
  async start(
    template: Template | null,
    changes: Partial<VmHost> = {},
    onLaunched: (vm: VmProcess) => void = () => {},
  ): Promise<StartedVm> {
    const at = (this.started += 1);
    const spec = { ...CloneHost.shape, id: `clone-${at}`, scratchMiB: 64, disks: [disk] };
    const host = { ...this.host, ...changes, identity: identity(1 + (at % 64)) };
    const vm = await startVm(spec, host, template?.files ?? null);
    onLaunched(vm);
    try {
      vm.sockets.lease.write(`R ${Math.floor(systemClock.bootTime() + 100_000)}\n`);
      vm.sockets.console.resume();
      const guest = connectGuest(vm.sockets, systemClock);
      if (!template) await Promise.race([guest.ready(30_000), guest.broken]);
      const facts = await Promise.race([guest.knock(), guest.broken]);
      return { vm, guest, facts, pid: await vm.check() };
    } catch (error) {
      await vm.destroy();
      throw error;
    }
  }

  /** Makes the root of the busybox image in the guest. */
  async prepare({ guest }: StartedVm): Promise<void> {
    const imageRoots = [{ mode: 0o755, uid: 0, gid: 0 }];
    const plan = { disks: [disk], imageSlots: [0], imageRoots, workspaceSlot: null };
    await prepareGuest(guest, plan, { hostname: 'job', files: {} });
  }

  /** Runs a command in a prepared guest. Returns its output; rejects if it does not exit with 0. */
  async step({ guest }: StartedVm, argv: readonly string[], onOutput = () => {}): Promise<string> {
    const output: Buffer[] = [];
    const take = (chunk: Buffer) => {
      onOutput();
      output.push(chunk);
    };
    const { code, reason } = await guest.step(
      {
        ...{ id: 'step', root: '/roots/0', argv, env: ['PATH=/bin'], user: '', cwd: '/', hostname: 'job' },
        ...{ binds: [], volumes: [], memoryBytes: 200 * 2 ** 20, pids: 64 },
        ...{ deadlineMs: 20_000, graceMs: 0, stopSignal: 15 },
      },
      { stdin: null, stdout: take, stderr: take },
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
    await rm(this.root, { recursive: true });
  }
}

function identity(at: number): VmHost['identity'] {
  return isRoot ? { uid: 1_900_002_000 + at, gid: 1_900_002_000 + at } : null;
}
