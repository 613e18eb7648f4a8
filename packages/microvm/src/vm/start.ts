import { type FileHandle, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { vmRefused } from '../errors.ts';
import { type CgroupLimits, makeCgroup, removeCgroup } from '../jail/cgroups.ts';
import {
  type GuestSockets,
  type LauncherSockets,
  type VmExit,
  type VmSpec,
  vmDisksMax,
  vmIdPattern,
  vmmMemoryMiB,
  vmmProcesses,
  vmName,
} from './spec.ts';
import { giveScratchDisk, giveToGroup, makeBlankDisk, makeScratchDisk, openDisk } from './disks.ts';
import type { VmHost } from './host.ts';
import { countHolders, type NetworkHandles } from '../network/network.ts';
import { type LaunchedVm, launch, type VmFiles, vmmPid } from './launcher.ts';
import { countLeftOver, endProcesses, type HostVm, type LeftOver, namespacesOf } from './leftover.ts';
import { type SearchResult, searchFile, searchGuestMemory } from './search.ts';
import { recordPath, writeRecord } from './sweep.ts';

/** A template's memory and the state of its devices, both sealed, and its number of slots for read-only disks. */
export interface TemplateFiles {
  readonly memory: FileHandle;
  readonly state: FileHandle;
  readonly slots: number;
  /** The version of the VMM that made it, where no other one loads it. */
  readonly version: string | null;
}

/** A VM as its parent sees it. It runs nothing until the first renewal on its lease socket. */
export interface VmProcess {
  readonly sockets: LauncherSockets;
  /** Resolves when the guest has connected, which it does after the first renewal. Errors: `guest_not_ready`, `vmm_refused`. */
  readonly guest: Promise<GuestSockets>;
  /** The host's sockets in the guest's network; null for a guest without one. Errors: `vm_refused`. */
  readonly network: Promise<NetworkHandles> | null;
  /** Resolves when the VMM is dead; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Counts the needles in the guest's memory and its scratch disk. Pause the VM first. */
  search(needles: readonly Buffer[]): Promise<SearchResult>;
  /** Returns the VMM's process id. Errors: `vm_refused` when it is not running or runs without one of its filters. */
  check(): Promise<number>;
  kill(): void;
  /**
   * Kills the VM, waits for its end, removes everything of it, and counts what could not be removed. Whoever got the handles of its network
   * has closed them before.
   */
  destroy(): Promise<LeftOver>;
  /**
   * Resolves when the host has the space of the scratch disk again: up to 150 ms after `destroy`, where the file system tells the
   * disk below which blocks are free. Nothing of the VM can be reached then any more, so nobody waits for this but a reservation.
   */
  readonly freed: Promise<void>;
}

/**
 * Prepares a VM and starts its launcher: a clone of `template`, or a VM that boots. Errors: `vm_refused` for a spec that asks for
 * something it must not have.
 */
export async function startVm(
  spec: VmSpec,
  host: VmHost,
  template: TemplateFiles | null = null,
): Promise<VmProcess> {
  host.vmm.check(spec);
  const slots = template?.slots ?? vmDisksMax;
  if (spec.disks.length > slots) throw vmRefused(`it has ${spec.disks.length} disks, at most ${slots} fit`);
  const { vm, launched, scratch } = await launchVm(spec, host, false, async (keep) => {
    const start = template
      ? {
          state: keep(await reopen(template.state)),
          memory: keep(await reopen(template.memory)),
          version: template.version,
        }
      : await openGuest(host, keep);
    const disks: FileHandle[] = [];
    for (const disk of spec.disks) disks.push(keep(await openDisk(disk, host.diskDirectory, host.diskOwner)));
    if (host.diskGroup && host.vmm.reopensFiles)
      for (const disk of disks) await giveToGroup(disk, host.diskOwner, host.diskGroup);
    const path = (kind: string) => join(host.runDirectory, `${vmName(spec.id)}.${kind}`);
    const scratch =
      (await host.scratchDisks?.take(spec.scratchMiB)) ??
      (await makeScratchDisk(path('ext4'), spec.scratchMiB));
    const [writer, reader] = scratch.map(keep) as typeof scratch;
    await giveScratchDisk(scratch, host.identity);
    const files = { start, disks, slots: disks.length, scratch: writer, scratchReader: reader };
    if (!template) return files;
    // A clone has a disk in every slot of its template.
    const [blankWriter, blank] = await makeBlankDisk(path('blank'));
    for (const file of [blankWriter, blank]) keep(file);
    return { ...files, slots: template.slots, blank };
  });
  return vmProcess(vm, spec, launched, host, scratch);
}

/** Opens an open file again for reading, at its beginning. */
function reopen({ fd }: FileHandle): Promise<FileHandle> {
  return open(`/proc/self/fd/${fd}`);
}

/** Opens the kernel and the initramfs of a guest that boots. */
export async function openGuest(
  { guest }: Pick<VmHost, 'guest'>,
  keep: (file: FileHandle) => FileHandle,
): Promise<Extract<VmFiles['start'], { kernel: unknown }>> {
  return { kernel: keep(await open(guest.kernel)), initramfs: keep(await open(guest.initramfs)) };
}

/** A launcher that was started, with what has to be removed from the host after its end. */
export interface StartedVm {
  readonly vm: HostVm;
  readonly launched: LaunchedVm;
  readonly scratch: FileHandle;
}

/**
 * Writes the VM's record, opens its files, makes its cgroup and starts its launcher. A VM that `saves` becomes a template. Every file that `openFiles` keeps is closed here,
 * but for the scratch disk of a VM that has started.
 */
export async function launchVm(
  spec: VmSpec,
  host: VmHost,
  saves: boolean,
  openFiles: (keep: (file: FileHandle) => FileHandle) => Promise<VmFiles>,
): Promise<StartedVm> {
  if (!vmIdPattern.test(spec.id)) throw vmRefused('its id has other characters than a-z, 0-9 and -');
  const vm: HostVm = { name: vmName(spec.id), uid: host.identity?.uid ?? null };
  const kept: FileHandle[] = [];
  // The record comes first: whatever happens from here on, a sweep finds the VM.
  await writeRecord(host.runDirectory, vm);
  try {
    const files = await openFiles((file) => {
      kept.push(file);
      return file;
    });
    const cgroupFiles = host.cgroups
      ? await makeCgroup(vm.name, limitsOf(spec, saves && host.vmm.makesMemory))
      : [];
    const identity = await identityFor(spec, host);
    const launched = await launch(spec, { ...host, identity }, files, { cgroupFiles, saves });
    await Promise.all(kept.filter((file) => file !== files.scratch).map((file) => file.close()));
    return { vm, launched, scratch: files.scratch };
  } catch (error) {
    for (const file of kept) await file.close();
    await removeVm(vm, host);
    throw error;
  }
}

/** Removes what is left of a VM whose processes have ended. */
export async function removeVm(
  { name }: HostVm,
  host: Pick<VmHost, 'cgroups' | 'runDirectory'>,
): Promise<void> {
  if (host.cgroups) await removeCgroup(name);
  await unlink(recordPath(host.runDirectory, name));
}

/** A VMM on hardware gets the group of /dev/kvm in place of its own, which is what lets it open the device. */
async function identityFor(spec: VmSpec, { identity }: VmHost): Promise<VmHost['identity']> {
  if (!identity || spec.acceleration !== 'kvm') return identity;
  return { uid: identity.uid, gid: (await stat('/dev/kvm')).gid };
}

/** While a VMM copies the memory of its guest, it has it twice. */
function limitsOf(spec: VmSpec, copiesMemory: boolean): CgroupLimits {
  return {
    memoryBytes: (spec.memoryMiB * (copiesMemory ? 2 : 1) + vmmMemoryMiB) * 2 ** 20,
    pids: vmmProcesses(spec),
    cpus: spec.cpus + 1,
  };
}

/** Returns the running VM of a launcher. `scratch` is the writable scratch disk, which stays open until the end. */
function vmProcess(
  vm: HostVm,
  { memoryMiB }: VmSpec,
  { launcher, sockets, guest, exited, network }: LaunchedVm,
  host: VmHost,
  scratch: FileHandle,
): VmProcess {
  const namespaces = new Set<string>();
  const connected = guest.then(({ sockets }) => sockets);
  connected.catch(() => {}); // whoever waits for it is told
  const handles = network && network.then((made) => made.handles);
  handles?.catch(() => {}); // whoever waits for it is told
  let destroyed: Promise<LeftOver> | null = null;
  /** Returns 1 if something but a process of the VM keeps the network namespace of the guest alive. */
  const heldNetworks = async () => {
    const made = await network?.catch(() => null);
    if (!made || !host.network) return 0;
    return Math.min(1, await countHolders(host.network, made.namespace));
  };
  const freed = Promise.withResolvers<void>();
  freed.promise.catch(() => {}); // whoever waits for it is told

  return {
    sockets,
    guest: connected,
    exited,
    network: handles,
    freed: freed.promise,
    async search(needles) {
      const inMemory = await searchGuestMemory(await vmmPid(launcher.pid as number), memoryMiB, needles);
      const onDisk = await searchFile(scratch, needles);
      return {
        searchedBytes: inMemory.searchedBytes + onDisk.searchedBytes,
        found: inMemory.found.map((count, index) => count + (onDisk.found[index] ?? 0)),
      };
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
        freed.resolve(scratch.close()); // it has no name any more
        await removeVm(vm, host);
        const left = countLeftOver(vm, namespaces, host.runDirectory);
        return { ...left, namespaces: left.namespaces + (await heldNetworks()) };
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
