import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { promisify } from 'node:util';
import { vmRefused } from '../errors.ts';
import type { GuestImage } from '../guest/build.ts';
import { jailArguments } from '../jail/bwrap.ts';
import { makeCgroup, removeCgroup } from '../jail/cgroups.ts';
import { type VmExit, type VmSockets, type VmSpec, vmNamePrefix } from '../vm.ts';
import { countLeftOver, type LeftOver, namespacesOf, waitForDeath } from './leftover.ts';
import { type Found, searchFile } from './search.ts';
import { recordPath } from './sweep.ts';
import type { Vmm } from './vmm.ts';

/** What the privileged side knows of its host; nothing of it comes from the agent. */
export interface VmHost {
  readonly vmm: Vmm;
  /** Path of the launcher. */
  readonly launcher: string;
  readonly guest: GuestImage;
  /** Where read-only disk files lie, and the uid that must own them. */
  readonly diskDirectory: string;
  readonly diskOwner: number;
  /** Where scratch disks are made; they are unlinked before the VM starts. */
  readonly runDirectory: string;
  /** Uid and gid of this VM, unlike that of any other; null without root: the VM shares ours. */
  readonly identity: { readonly uid: number; readonly gid: number } | null;
  /** False where no cgroup can be made (no root): memory and processes are then bounded by the VM itself only. */
  readonly cgroups: boolean;
}

/** A VM as its parent sees it. It runs nothing until the first renewal on its lease socket. */
export interface VmProcess {
  readonly sockets: VmSockets;
  /** Resolves when the VMM is dead; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Counts the needles in the guest's memory and its scratch disk. Pause the VM first. */
  search(needles: readonly Buffer[]): Promise<Found>;
  /** The VMM's process id once it runs. Errors: `vm_refused` when it runs without its seccomp filter. */
  check(): Promise<number>;
  kill(): void;
  /** Kills, waits, removes what there is, and counts what stayed. */
  destroy(): Promise<LeftOver>;
}

/**
 * Memory that a VMM may use beside its guest's memory, in MiB: the limit of the VM's cgroup, and what an executor reserves for
 * each job. The measured peak is 255 MiB, under emulation.
 */
export const vmmMemoryMiB = 384;
const vmmPids = 64;
const disksMax = 18;
const sockets = ['lease', 'status', 'monitor', 'control', 'stdin', 'stdout', 'stderr', 'bulk'] as const;

/** Prepares a VM and its launcher. Errors: `vm_refused` for a spec that asks for what it must not have. */
export async function startVm(spec: VmSpec, host: VmHost): Promise<VmProcess> {
  if (!/^[a-z0-9-]{1,40}$/.test(spec.id)) throw vmRefused('its id has other characters than a-z, 0-9 and -');
  if (spec.disks.length > disksMax)
    throw vmRefused(`it has ${spec.disks.length} disks, at most ${disksMax} fit`);
  const name = `${vmNamePrefix}${spec.id}`;
  const files: FileHandle[] = [];
  // Whatever happens from here on, a sweep finds it.
  await writeFile(recordPath(host.runDirectory, name), '', { flag: 'wx' });
  try {
    files.push(await open(host.guest.kernel), await open(host.guest.initramfs));
    for (const disk of spec.disks) files.push(await openDisk(disk, host));
    files.push(...(await makeScratch(join(host.runDirectory, `${name}.ext4`), spec.scratchMiB)));
    const joins = host.cgroups ? await makeCgroup(name, limitsOf(spec)) : [];
    return run(spec, { ...host, identity: await identityFor(spec, host) }, files, joins);
  } catch (error) {
    for (const file of files) await file.close();
    if (host.cgroups) await removeCgroup(name);
    await unlink(recordPath(host.runDirectory, name));
    throw error;
  }
}

/** A VMM on hardware opens /dev/kvm by its group, which it has in place of its own. */
async function identityFor(spec: VmSpec, { identity }: VmHost): Promise<VmHost['identity']> {
  if (!identity || spec.acceleration !== 'kvm') return identity;
  return { uid: identity.uid, gid: (await stat('/dev/kvm')).gid };
}

function limitsOf(spec: VmSpec) {
  return { memoryBytes: (spec.memoryMiB + vmmMemoryMiB) * 2 ** 20, pids: vmmPids, cpus: spec.cpus + 1 };
}

/** A disk that the agent named: it must be the agent's own regular file, so that it cannot have us open another's. */
async function openDisk(name: string, host: VmHost): Promise<FileHandle> {
  if (!/^[A-Za-z0-9._-]{1,200}$/.test(name) || name.startsWith('.'))
    throw vmRefused(`${name} is no name of a disk`);
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(join(host.diskDirectory, name), flags).catch((error: unknown) => {
    throw vmRefused(`the disk ${name} cannot be opened (${(error as NodeJS.ErrnoException).code})`);
  });
  const is = await file.stat();
  if (is.isFile() && is.uid === host.diskOwner) return file;
  await file.close();
  throw vmRefused(`the disk ${name} is not a regular file of the executor`);
}

/** Takes the file's whole room now: a guest that found the host's disk full later could only be stopped. */
async function takeRoom(file: FileHandle, path: string, bytes: number): Promise<void> {
  try {
    await promisify(execFile)('/usr/bin/fallocate', ['--length', String(bytes), path]);
  } catch (error) {
    if (!/not supported/i.test((error as Error).message)) throw error;
    await file.truncate(bytes); // a file system that promises no room
  }
}

/** A blank ext4 disk without a name: it is gone with its last descriptor, whatever happens. */
async function makeScratch(path: string, sizeMiB: number): Promise<[writer: FileHandle, reader: FileHandle]> {
  const file = await open(path, 'wx+', 0o600);
  try {
    await takeRoom(file, path, sizeMiB * 2 ** 20);
    const options = ['-q', '-F', '-m', '0', '-O', '^has_journal', '-E', 'nodiscard,lazy_itable_init=1', path];
    await promisify(execFile)('/usr/sbin/mkfs.ext4', options);
    return [file, await open(path, 'r')];
  } catch (error) {
    await file.close();
    throw error;
  } finally {
    await unlink(path);
  }
}

function run(spec: VmSpec, host: VmHost, files: FileHandle[], joins: string[]): VmProcess {
  const name = `${vmNamePrefix}${spec.id}`;
  const first = 3; // descriptors 0, 1 and 2 are nothing, the console and the launcher's complaints
  const at = (socket: (typeof sockets)[number]) => first + sockets.indexOf(socket);
  const fileAt = first + sockets.length;
  const memory = fileAt + files.length;
  const fds = {
    ...{ monitor: at('monitor'), control: at('control'), stdin: at('stdin') },
    ...{ stdout: at('stdout'), stderr: at('stderr'), bulk: at('bulk') },
    ...{ kernel: fileAt, initramfs: fileAt + 1, memory },
    disks: spec.disks.map((_disk, index) => fileAt + 2 + index),
    scratch: memory - 2,
    scratchReader: memory - 1,
  };
  const ids = host.identity ? ['--ids', `${host.identity.uid}:${host.identity.gid}`] : [];
  const launcher = spawn(
    host.launcher,
    [
      ...['--lease', String(at('lease')), '--status', String(at('status'))],
      ...['--memory', `${spec.memoryMiB}:${memory}`],
      ...joins.flatMap((file) => ['--cgroup', file]),
      ...ids,
      '--',
      ...jailArguments(host.vmm.command(spec, fds), host.vmm.devices(spec)),
    ],
    {
      env: {},
      cwd: '/',
      stdio: [
        'ignore',
        'pipe',
        'pipe',
        ...sockets.map(() => 'pipe' as const),
        ...files.map((file) => file.fd),
      ],
    },
  );
  const socketOf = (socket: (typeof sockets)[number]) => launcher.stdio[at(socket)] as Socket;
  const namespaces = new Set<string>();
  const exited = exitOf(launcher, socketOf('status'));
  const scratch = files.at(-2) as FileHandle;
  const closing = files.filter((file) => file !== scratch).map((file) => file.close());
  let destroyed: Promise<LeftOver> | null = null;

  return {
    sockets: {
      lease: socketOf('lease'),
      monitor: socketOf('monitor'),
      console: launcher.stdout as Socket,
      control: socketOf('control'),
      stdin: socketOf('stdin'),
      stdout: socketOf('stdout'),
      stderr: socketOf('stderr'),
      bulk: socketOf('bulk'),
    },
    exited,
    async search(needles) {
      // The launcher made the memory and holds it at the same number as the VMM.
      const guest = await open(`/proc/${launcher.pid}/fd/${memory}`);
      try {
        const inMemory = await searchFile(guest, needles);
        const onDisk = await searchFile(scratch, needles);
        return {
          searchedBytes: inMemory.searchedBytes + onDisk.searchedBytes,
          found: inMemory.found.map((count, index) => count + (onDisk.found[index] ?? 0)),
        };
      } finally {
        await guest.close();
      }
    },
    async check() {
      const pid = await vmmPid(launcher.pid as number);
      const ours = new Set(namespacesOf('self'));
      for (const namespace of namespacesOf(pid)) if (!ours.has(namespace)) namespaces.add(namespace);
      for (const thread of await readdir(`/proc/${pid}/task`)) {
        const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'latin1').catch(
          () => 'Seccomp:\t2',
        );
        if (!/^Seccomp:\s*2$/m.test(status)) throw vmRefused('the VMM runs without its seccomp filter');
      }
      return pid;
    },
    kill: () => void launcher.kill('SIGKILL'),
    destroy() {
      destroyed ??= (async () => {
        launcher.kill('SIGKILL'); // its child dies with it
        await exited;
        await waitForDeath(name);
        await Promise.all([scratch.close(), ...closing]);
        if (host.cgroups) await removeCgroup(name);
        await unlink(recordPath(host.runDirectory, name));
        return countLeftOver(name, namespaces, host.runDirectory);
      })();
      return destroyed;
    },
  };
}

/** The end as the launcher tells it; when it was killed itself, the end as we see it. */
function exitOf(launcher: ChildProcess, status: Socket): Promise<VmExit> {
  let line = '';
  status.setEncoding('latin1');
  status.on('data', (chunk: string) => {
    line = (line + chunk).slice(0, 200);
  });
  status.on('error', () => {});
  let complaints = '';
  launcher.stderr?.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString('latin1')).slice(-2000);
  });
  return new Promise((resolve) => {
    const end = (signal: NodeJS.Signals | null) => {
      const told = /^(-?\d+) (\d+) (exited|killed|lease|start) \d+\n$/.exec(line);
      resolve({
        code: told && told[1] !== '-1' ? Number(told[1]) : null,
        signal: told ? Number(told[2]) || null : null,
        reason: told ? (told[3] as VmExit['reason']) : signal ? 'killed' : 'start',
        complaints,
      });
    };
    launcher.once('error', () => end(null));
    // Not its `close`: sockets that were handed to another process never close here.
    launcher.once('exit', (_code, signal) => {
      void Promise.allSettled([finished(status), finished(launcher.stderr as Socket)]).then(() =>
        end(signal),
      );
    });
  });
}

/** The VMM below a launcher: launcher, bubblewrap outside, VMM inside as the first process of its namespace. */
async function vmmPid(launcher: number): Promise<number> {
  let pid = launcher;
  for (let depth = 0; depth < 2; depth++) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1').catch(() => '');
    const child = Number(children.trim().split(' ')[0]);
    if (!child) throw vmRefused('the VMM is not running');
    pid = child;
  }
  return pid;
}
