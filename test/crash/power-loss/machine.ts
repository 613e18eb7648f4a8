import { execFileSync } from 'node:child_process';
import { testGuest } from '../../../packages/executor/src/testing/test-guest.ts';
import { chmodSync, chownSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { openFileCache, systemClock } from '@fumehood/base';
import {
  buildLauncher,
  canLimit,
  connectGuest,
  type GuestImage,
  vmmOf,
  startVm,
  type Vmm,
} from '@fumehood/microvm';
import { spawnInside, takeDisk } from '@fumehood/disk';
import { type ImageDisk, imageDisk, writeImageDisk } from '@fumehood/oci';
import { guestPaths, prepareGuest } from '../../../packages/executor/src/runtime/microvm/prepare-guest.ts';
import { planDisks } from '../../../packages/executor/src/runtime/microvm/vm-plan.ts';
import type { AcknowledgedWrite, Report, SyncFault } from './load.ts';
import { powerLossImage } from './image.ts';

const isRoot = process.getuid?.() === 0;
const identity = isRoot ? { uid: 1_900_001_907, gid: 1_900_001_907 } : null;
const owner = isRoot ? 1_900_000_002 : (process.getuid?.() ?? 0);

/** The files from which VMs of the power-loss image are started. */
export interface VmFiles {
  readonly directory: string;
  readonly launcher: string;
  readonly guest: GuestImage;
  readonly image: ImageDisk;
}

/** Builds image, guest image and launcher in `directory`. */
export async function makeVmFiles(directory: string): Promise<VmFiles> {
  chmodSync(directory, 0o711);
  for (const name of ['disks', 'run', 'kept']) {
    mkdirSync(join(directory, name));
    chmodSync(join(directory, name), 0o711);
  }
  const { archive, digest } = await powerLossImage(join(directory, 'images'));
  const disks = join(directory, 'disks');
  const make = async (disk: string) => {
    const config = await writeImageDisk(spawnInside, archive, join(directory, 'written'));
    await takeDisk(join(directory, 'written'), join(directory, 'copy'), disk, process.getuid?.() ?? 0);
    return config;
  };
  const cache = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open();
  const { signal } = new AbortController();
  const image = await imageDisk({ archive, digestOf: 'archive', digest }, disks, cache, { signal, make });
  if (isRoot) chownSync(join(disks, image.file), owner, owner);
  return {
    directory,
    launcher: await buildLauncher(join(directory, 'launcher')),
    guest: await testGuest(join(directory, 'guest')),
    image,
  };
}

/** Makes an empty disk that outlives its VM: ext4 with a journal, as on a server. Returns its file. */
export function makeDisk(directory: string, name: string): string {
  const file = join(directory, 'kept', name);
  writeFileSync(file, '', { mode: 0o600 });
  truncateSync(file, 1024 * 2 ** 20);
  execFileSync('/usr/sbin/mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'root_owner=1000:1000', file]);
  if (identity) chownSync(file, identity.uid, identity.gid);
  return file;
}

export function copyDisk(from: string, to: string): string {
  execFileSync('cp', ['--sparse=always', '--preserve=mode,ownership', from, to]);
  return to;
}

/**
 * Returns the product's VMM with one more disk, whose file this test keeps. The guest's flushes reach this file
 * (`cache=writeback`); the product's scratch disk, which dies with its VM, ignores them.
 */
function withDisk(disk: string): Vmm {
  const product = vmmOf('qemu', '/usr/bin/qemu-system-x86_64');
  return {
    ...product,
    devices: (spec) => [...product.devices(spec), disk],
    command: (spec, fds) => [
      ...product.command(spec, fds),
      ...['-drive', `id=kept,file=${disk},format=raw,if=none,cache=writeback`],
      ...['-device', 'virtio-blk-device,drive=kept'],
    ],
  };
}

/**
 * Boots a VM that runs load.ts on the disk with the writes acknowledged before, and calls `onReport` with each line that load.ts
 * reports. When `until` resolves or the VM ends, it kills the VMM without a warning, and then resolves: what the guest had not
 * flushed to its disk is lost.
 */
export async function runUntilPowerLoss(
  files: VmFiles,
  { disk, fault, before }: { disk: string; fault: SyncFault; before: readonly AcknowledgedWrite[] },
  onReport: (line: Report) => void,
  until: Promise<void>,
): Promise<void> {
  const spec = {
    ...{ id: `power-${process.pid}`, acceleration: 'emulated' as const },
    ...{ cpus: 2, memoryMiB: 1024, scratchMiB: 64, disks: [files.image.file] },
  };
  const { directory, launcher, guest: guestImage } = files;
  const host = {
    ...{ vmm: withDisk(disk), launcher, guest: guestImage, identity, cgroups: await canLimit() },
    ...{ diskDirectory: join(directory, 'disks'), diskOwner: owner, runDirectory: join(directory, 'run') },
  };
  const vm = await startVm(spec, host);
  const renew = () => void vm.sockets.lease.write(`R ${Math.round(systemClock.bootTime() + 60_000)}\n`);
  const renewing = setInterval(renew, 5_000);
  try {
    const guest = connectGuest(await vm.guest, systemClock);
    vm.sockets.console.resume();
    renew();
    await Promise.race([guest.ready(60_000), guest.broken]);
    const vmm = await vm.check();
    await guest.knock();
    await prepareGuest(guest, planDisks([files.image], null), {
      hostname: 'power',
      network: false,
      files: {},
    });
    guest.mount({ type: 'ext4', source: '/dev/vdc', target: '/kept', flags: ['nodev'] });
    const ran = guest.step(
      {
        ...{ id: 'load', root: guestPaths.root(0), cwd: '/', hostname: 'power', user: 'node' },
        argv: [...files.image.config.entrypoint, fault],
        env: [...files.image.config.env],
        volumes: [],
        binds: [{ source: '/kept', target: '/state', mode: 'rw' }],
        ...{ memoryBytes: 900 * 2 ** 20, pids: 200, deadlineMs: 0, stopSignal: 15, graceMs: 0 },
      },
      {
        stdin: Readable.from(before.map((write) => `${JSON.stringify(write)}\n`)),
        stdout: reportsTo(onReport),
        stderr: (chunk) => void process.stderr.write(chunk),
      },
    );
    ran.catch(() => {}); // the step rejects when the VM is killed
    await Promise.race([until, guest.broken, ran]);
    process.kill(vmm, 'SIGKILL');
    await vm.exited;
    guest.close();
  } finally {
    clearInterval(renewing);
    await vm.destroy();
  }
}

/** Returns a reader of stdout that passes on whole lines only: the power may have cut off the last one. */
function reportsTo(onReport: (line: Report) => void): (chunk: Buffer) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onReport(JSON.parse(line) as Report);
  };
}
