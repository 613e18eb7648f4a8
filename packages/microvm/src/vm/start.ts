import { type FileHandle, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { vmRefused } from '../errors.ts';
import { type CgroupLimits, makeCgroup, removeCgroup } from '../jail/cgroups.ts';
import {
  type VmExit,
  type VmSockets,
  type VmSpec,
  vmDisksMax,
  vmIdPattern,
  vmmMemoryMiB,
  vmmProcesses,
  vmName,
} from './spec.ts';
import { makeScratchDisk, openDisk } from './disks.ts';
import type { VmHost } from './host.ts';
import { exitOf, type LaunchedVm, launch, vmmPid } from './launcher.ts';
import { countLeftOver, endProcesses, type HostVm, type LeftOver, namespacesOf } from './leftover.ts';
import { type SearchResult, searchFile } from './search.ts';
import { recordPath, writeRecord } from './sweep.ts';

/** A VM as its parent sees it. It runs nothing until the first renewal on its lease socket. */
export interface VmProcess {
  readonly sockets: VmSockets;
  /** Resolves when the VMM is dead; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Counts the needles in the guest's memory and its scratch disk. Pause the VM first. */
  search(needles: readonly Buffer[]): Promise<SearchResult>;
  /** Returns the VMM's process id. Errors: `vm_refused` when it is not running or runs without one of its filters. */
  check(): Promise<number>;
  kill(): void;
  /** Kills the VM, waits for its end, removes everything of it, and counts what could not be removed. */
  destroy(): Promise<LeftOver>;
}

/** Prepares a VM and starts its launcher. Errors: `vm_refused` for a spec that asks for something it must not have. */
export async function startVm(spec: VmSpec, host: VmHost): Promise<VmProcess> {
  if (!vmIdPattern.test(spec.id)) throw vmRefused('its id has other characters than a-z, 0-9 and -');
  if (spec.disks.length > vmDisksMax)
    throw vmRefused(`it has ${spec.disks.length} disks, at most ${vmDisksMax} fit`);
  const vm: HostVm = { name: vmName(spec.id), uid: host.identity?.uid ?? null };
  const { name } = vm;
  const files: FileHandle[] = [];
  // The record comes first: whatever happens from here on, a sweep finds the VM.
  await writeRecord(host.runDirectory, vm);
  try {
    files.push(await open(host.guest.kernel), await open(host.guest.initramfs));
    for (const disk of spec.disks) files.push(await openDisk(disk, host.diskDirectory, host.diskOwner));
    files.push(...(await makeScratchDisk(join(host.runDirectory, `${name}.ext4`), spec.scratchMiB)));
    const cgroupFiles = host.cgroups ? await makeCgroup(name, limitsOf(spec)) : [];
    const launched = await launch(
      spec,
      { ...host, identity: await identityFor(spec, host) },
      files,
      cgroupFiles,
    );
    const scratch = files.at(-2) as FileHandle;
    const closing = files.filter((file) => file !== scratch).map((file) => file.close());
    return vmProcess(vm, launched, host, scratch, closing);
  } catch (error) {
    for (const file of files) await file.close();
    if (host.cgroups) await removeCgroup(name);
    await unlink(recordPath(host.runDirectory, name));
    throw error;
  }
}

/** A VMM on hardware gets the group of /dev/kvm in place of its own, which is what lets it open the device. */
async function identityFor(spec: VmSpec, { identity }: VmHost): Promise<VmHost['identity']> {
  if (!identity || spec.acceleration !== 'kvm') return identity;
  return { uid: identity.uid, gid: (await stat('/dev/kvm')).gid };
}

function limitsOf(spec: VmSpec): CgroupLimits {
  return {
    memoryBytes: (spec.memoryMiB + vmmMemoryMiB) * 2 ** 20,
    pids: vmmProcesses(spec),
    cpus: spec.cpus + 1,
  };
}

/** Returns the running VM of a launcher. `scratch` is the writable scratch disk, which stays open until the end. */
function vmProcess(
  vm: HostVm,
  { launcher, sockets, status, memory }: LaunchedVm,
  host: VmHost,
  scratch: FileHandle,
  closing: readonly Promise<void>[],
): VmProcess {
  const namespaces = new Set<string>();
  const exited = exitOf(launcher, status);
  let destroyed: Promise<LeftOver> | null = null;

  return {
    sockets,
    exited,
    async search(needles) {
      // The launcher made the memory and holds it under the same descriptor number as the VMM.
      const guestMemory = await open(`/proc/${launcher.pid}/fd/${memory}`);
      try {
        const inMemory = await searchFile(guestMemory, needles);
        const onDisk = await searchFile(scratch, needles);
        return {
          searchedBytes: inMemory.searchedBytes + onDisk.searchedBytes,
          found: inMemory.found.map((count, index) => count + (onDisk.found[index] ?? 0)),
        };
      } finally {
        await guestMemory.close();
      }
    },
    async check() {
      const pid = await vmmPid(launcher.pid as number);
      const own = new Set(namespacesOf('self'));
      for (const namespace of namespacesOf(pid)) if (!own.has(namespace)) namespaces.add(namespace);
      await checkFilters(pid);
      return pid;
    },
    kill: () => void launcher.kill('SIGKILL'),
    destroy() {
      destroyed ??= (async () => {
        launcher.kill('SIGKILL'); // its child dies with it
        await exited;
        await endProcesses(vm);
        await Promise.all([scratch.close(), ...closing]);
        if (host.cgroups) await removeCgroup(vm.name);
        await unlink(recordPath(host.runDirectory, vm.name));
        return countLeftOver(vm, namespaces, host.runDirectory);
      })();
      return destroyed;
    },
  };
}

/**
 * Checks that each thread of the VMM runs under two seccomp filters at least: the jail's, and the one that the VMM has added. A thread
 * that has ended passes. Errors: `vm_refused`.
 */
async function checkFilters(pid: number): Promise<void> {
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'latin1').catch(() => null);
    const filters = status === null ? 2 : Number(/^Seccomp_filters:\s*(\d+)$/m.exec(status)?.[1] ?? 0);
    if (filters < 2) throw vmRefused(`the VMM runs under ${filters} of its two seccomp filters`);
  }
}
