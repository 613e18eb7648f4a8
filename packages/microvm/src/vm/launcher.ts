import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, readFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { vmRefused } from '../errors.ts';
import { jailArguments, jailFilter } from '../jail/bwrap.ts';
import { madeNetwork, type MadeNetwork, networkCommand, type TapAccess } from '../network/network.ts';
import type { ConnectedGuest, Vmm, VmmDescriptors } from '../vmm/vmm.ts';
import {
  type GuestSockets,
  guestSocketNames,
  type LauncherSockets,
  type VmExit,
  type VmSpec,
  vmmProcesses,
} from './spec.ts';
import type { VmHost } from './host.ts';

/** A launcher that was started, and the sockets of its VM. */
export interface LaunchedVm {
  readonly launcher: ChildProcess;
  readonly sockets: LauncherSockets;
  /** Resolves when the guest has connected. Errors: those of `Vmm.connect`. */
  readonly guest: Promise<ConnectedGuest>;
  /** Resolves when the VMM is dead; never rejects. */
  readonly exited: Promise<VmExit>;
  /** The guest's network; null for a guest without one. Errors: `vm_refused`. */
  readonly network: Promise<MadeNetwork> | null;
  /** Numbers of the VMM's descriptors. The launcher holds the memory and the saved state under the same ones. */
  readonly fds: VmmDescriptors;
}

/** The files that a VM inherits. */
export interface VmFiles {
  /** What the guest starts from: a kernel that boots, or a template. */
  readonly start:
    | { readonly kernel: FileHandle; readonly initramfs: FileHandle }
    | { readonly state: FileHandle; readonly memory: FileHandle; readonly version: string | null };
  /** Read-only disks, in slot order. */
  readonly disks: readonly FileHandle[];
  /** How many disks the guest knows: those, and in a template and its clones empty ones. */
  readonly slots: number;
  /** An empty disk, for the slots of a template. */
  readonly blank?: FileHandle;
  /** The scratch disk, for writing and for reading. */
  readonly scratch: FileHandle;
  readonly scratchReader: FileHandle;
  /** The socket to which a VMM that does not write to files writes the state of a template's devices. */
  readonly stateSocket?: FileHandle;
}

const firstSocket = 3; // descriptors 0, 1 and 2 are /dev/null, the console and the launcher's stderr
/** Sockets that every launcher inherits. A VMM whose guest does not dial inherits the guest's sockets, too. */
const launcherEnds = ['lease', 'status', 'filter'] as const;
type InheritedSocket = (typeof launcherEnds)[number] | keyof GuestSockets;

/** How the descriptors of a VMM are numbered, and what its launcher is told of them. */
interface Numbering {
  readonly fds: VmmDescriptors;
  /** The files that the launcher inherits after its sockets, in their order. */
  readonly inherited: readonly (number | 'ignore')[];
  readonly flags: readonly string[];
}

function numberDescriptors(
  spec: VmSpec,
  vmm: Vmm,
  files: VmFiles,
  ends: readonly InheritedSocket[],
  saves: boolean,
): Numbering {
  const first = firstSocket + ends.length;
  const inherited: (number | 'ignore')[] = [];
  const inherit = ({ fd }: FileHandle) => first + inherited.push(fd) - 1;
  const { start, blank, stateSocket } = files;
  // The scratch disk and the blank one come first, so that they have the same numbers in a template and in its clones.
  const common = {
    scratch: inherit(files.scratch),
    scratchReader: inherit(files.scratchReader),
    blank: blank ? inherit(blank) : null,
    disks: files.disks.map(inherit),
    slots: files.slots,
    start:
      'state' in start
        ? { state: inherit(start.state) }
        : { kernel: inherit(start.kernel), initramfs: inherit(start.initramfs) },
    stateSocket: stateSocket ? inherit(stateSocket) : null,
    // The program that makes the network puts it there.
    tap: spec.network && !vmm.opensTap ? first + inherited.push('ignore') - 1 : null,
  };
  const templateMemory = 'memory' in start ? inherit(start.memory) : null;
  const last = first + inherited.length - 1;
  // What follows is not inherited: the launcher makes it under the next numbers.
  let next = last;
  const ownMemory = templateMemory === null && (saves || !vmm.makesMemory) ? (next += 1) : null;
  const savedState = saves ? (next += 1) : null;
  const channel = vmm.guestDials ? { directory: (next += 1) } : { sockets: socketNumbers(ends) };
  const flags = [
    ...(ownMemory === null ? ['--last', String(last)] : ['--memory', `${spec.memoryMiB}:${ownMemory}`]),
    ...(savedState === null ? [] : ['--template', String(savedState)]),
    ...('directory' in channel ? ['--directory', String(channel.directory)] : []),
  ];
  return { fds: { ...common, memory: templateMemory ?? ownMemory, savedState, channel }, inherited, flags };
}

function socketNumbers(ends: readonly InheritedSocket[]): Record<keyof GuestSockets, number> {
  const entries = guestSocketNames.map((name) => [name, firstSocket + ends.indexOf(name)]);
  return Object.fromEntries(entries) as Record<keyof GuestSockets, number>;
}

/**
 * Starts the launcher of a VM, which joins the cgroups of `cgroupFiles`. A VM that `saves` becomes a template. Errors: `vm_refused` when
 * this host cannot start a program.
 */
export async function launch(
  spec: VmSpec,
  host: Pick<VmHost, 'launcher' | 'vmm' | 'identity' | 'diskGroup' | 'network'>,
  files: VmFiles,
  options: { readonly cgroupFiles: readonly string[]; readonly saves: boolean },
): Promise<LaunchedVm> {
  const { vmm } = host;
  const ends: readonly InheritedSocket[] = vmm.guestDials
    ? launcherEnds
    : [...launcherEnds, ...guestSocketNames];
  const at = (socket: InheritedSocket) => firstSocket + ends.indexOf(socket);
  const { fds, inherited, flags } = numberDescriptors(spec, vmm, files, ends, options.saves);
  const largestFileMiB = options.saves && vmm.makesMemory ? spec.memoryMiB : spec.scratchMiB;
  const jail = {
    devices: vmm.devices(spec),
    filter: at('filter'),
    ...(vmm.isStatic && { program: vmm.binary }),
    ...('directory' in fds.channel && { directory: fds.channel.directory }),
    keepsNetwork: spec.network === true && vmm.opensTap,
  };
  const launcherCommand = [
    host.launcher,
    ...['--lease', String(at('lease')), '--status', String(at('status')), ...flags],
    ...['--limits', `${largestFileMiB * 2 ** 20}:${vmmProcesses(spec)}`],
    ...options.cgroupFiles.flatMap((file) => ['--cgroup', file]),
    ...(host.identity ? ['--ids', `${host.identity.uid}:${host.identity.gid}`] : []),
    ...(host.identity && host.diskGroup && vmm.reopensFiles ? ['--group', String(host.diskGroup)] : []),
    '--',
    ...jailArguments(vmm.command(spec, fds), jail),
  ];
  const stdio = ['ignore', 'pipe', 'pipe', ...ends.map(() => 'pipe' as const), ...inherited] as const;
  const owner = host.identity?.uid ?? process.getuid?.() ?? 0;
  const tap = fds.tap === null ? { owner } : { descriptor: fds.tap };
  const launcher = await startLauncher(launcherCommand, [...stdio], host.network, spec.network ? tap : null);
  const network = spec.network ? madeNetwork(launcher) : null;
  network?.catch(() => {}); // whoever waits for it is told
  const socketOf = (socket: InheritedSocket) => launcher.stdio[at(socket)] as Socket;
  // A launcher or a VMM that was killed has not read everything, and resets its sockets. `exited` reports its end.
  for (const stream of launcher.stdio) stream?.on('error', () => {});
  socketOf('filter').end(jailFilter());
  const { ready, exited } = watchStatus(launcher, socketOf('status'));
  if ('directory' in fds.channel) await ready;
  const sockets = { lease: socketOf('lease'), console: launcher.stdout as Socket };
  const channel =
    'directory' in fds.channel
      ? { directory: `/proc/${launcher.pid}/fd/${fds.channel.directory}` }
      : {
          sockets: Object.fromEntries(
            guestSocketNames.map((name) => [name, socketOf(name)]),
          ) as unknown as GuestSockets,
        };
  const templateVersion = 'version' in files.start ? files.start.version : null;
  try {
    const { guest } = await vmm.connect({ spec, fds, channel, templateVersion, ended: exited });
    guest.catch(() => {}); // whoever waits for it is told
    return { launcher, sockets, guest, exited, network, fds };
  } catch (error) {
    launcher.kill('SIGKILL');
    throw error;
  }
}

/** Starts the launcher: in a program that makes the network of its guest, if it has one. */
function startLauncher(
  command: readonly string[],
  stdio: (number | 'ignore' | 'pipe')[],
  tools: VmHost['network'],
  tap: TapAccess | null,
): Promise<ChildProcess> {
  const options = { env: {}, cwd: '/' };
  if (tap === null) return startProgram(command[0] as string, command.slice(1), { ...options, stdio });
  if (!tools) throw vmRefused('this host can give no guest a network');
  const fds = { tap, channel: stdio.length };
  const [program, ...args] = networkCommand(tools, fds, command) as [string, ...string[]];
  return startProgram(program, args, { ...options, stdio: [...stdio, 'ipc'] });
}

/** Starts a program. Without free descriptors Node gives it no streams, and reports that by an event; other errors it throws. */
async function startProgram(...started: Parameters<typeof spawn>): Promise<ChildProcess> {
  try {
    const child = spawn(...started);
    await once(child, 'spawn');
    return child;
  } catch (error) {
    throw vmRefused(`its launcher could not be started: ${(error as Error).message}`);
  }
}

/** What a launcher reports on its status stream. */
interface Reports {
  /** Resolves when the launcher has made the directory of the VMM's sockets. Errors: `vm_refused`. */
  readonly ready: Promise<void>;
  /** Resolves with the report of the end or, when the launcher itself was killed, with what its parent sees. */
  readonly exited: Promise<VmExit>;
}

function watchStatus(launcher: ChildProcess, status: Socket): Reports {
  const { promise: ready, resolve: isReady, reject: isNotReady } = Promise.withResolvers<void>();
  ready.catch(() => {}); // only a VM with a directory waits for it
  let lines = '';
  status.setEncoding('latin1');
  status.on('data', (chunk: string) => {
    lines = (lines + chunk).slice(0, 200);
    if (lines.startsWith('ready\n')) isReady();
  });
  status.on('error', () => {});
  let stderr = '';
  launcher.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('latin1')).slice(-2000);
  });
  const exited = new Promise<VmExit>((resolve) => {
    const report = (signal: NodeJS.Signals | null) => {
      const parsed = /^(?:ready\n)?(-?\d+) (\d+) (exited|sealed|killed|lease|start) \d+\n$/.exec(lines);
      isNotReady(vmRefused(`its launcher ended: ${stderr.trim().slice(-300)}`));
      resolve({
        code: parsed && parsed[1] !== '-1' ? Number(parsed[1]) : null,
        signal: parsed ? Number(parsed[2]) || null : null,
        reason: parsed ? (parsed[3] as VmExit['reason']) : signal ? 'killed' : 'start',
        stderr,
      });
    };
    launcher.once('error', () => report(null));
    // Not `close`: sockets that were handed to another process never close here.
    launcher.once('exit', (_code, signal) => {
      void Promise.allSettled([finished(status), finished(launcher.stderr as Socket)]).then(() =>
        report(signal),
      );
    });
  });
  return { ready, exited };
}

/**
 * Returns the process id of the VMM below a launcher: the launcher's child is bubblewrap, and bubblewrap's child is the VMM,
 * the first process of its pid namespace. Errors: `vm_refused` while it is not running.
 */
export async function vmmPid(launcher: number): Promise<number> {
  let pid = launcher;
  for (let depth = 0; depth < 2; depth++) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1').catch(() => '');
    const child = Number(children.trim().split(' ')[0]);
    if (!child) throw vmRefused('the VMM is not running');
    pid = child;
  }
  return pid;
}
