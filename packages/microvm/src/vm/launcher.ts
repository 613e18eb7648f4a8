import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, readFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { vmRefused } from '../errors.ts';
import { jailArguments, jailFilter } from '../jail/bwrap.ts';
import type { VmmDescriptors } from '../vmm/vmm.ts';
import { type VmExit, type VmSockets, type VmSpec, vmmProcesses } from './spec.ts';
import type { VmHost } from './host.ts';

/** A launcher that was started, and the sockets of its VM. */
export interface LaunchedVm {
  readonly launcher: ChildProcess;
  readonly sockets: VmSockets;
  /** The stream on which the launcher reports the end. */
  readonly status: Socket;
  /** Numbers of the VMM's descriptors. The launcher holds the memory under the same one. */
  readonly fds: VmmDescriptors;
}

/** The files that a VM inherits. */
export interface VmFiles {
  /** What the guest starts from: a kernel that boots, or a template. */
  readonly start:
    | { readonly kernel: FileHandle; readonly initramfs: FileHandle }
    | { readonly state: FileHandle; readonly memory: FileHandle };
  /** Read-only disks, in slot order. */
  readonly disks: readonly FileHandle[];
  /** The scratch disk, for writing and for reading. */
  readonly scratch: FileHandle;
  readonly scratchReader: FileHandle;
  /** The socket to which the VMM of a template writes the state of its devices. */
  readonly stateSocket?: FileHandle;
}

const inheritedSockets = [
  'lease',
  'status',
  'monitor',
  'control',
  'stdin',
  'stdout',
  'stderr',
  'bulk',
  'filter',
] as const;
type InheritedSocket = (typeof inheritedSockets)[number];

/**
 * Starts the launcher of a VM, which joins the cgroups of `cgroupFiles`. A VM with a `stateSocket` becomes a template: the launcher holds
 * the state of its devices under the descriptor number after that of the memory. Errors: `vm_refused` when this host cannot
 * start a program.
 */
export async function launch(
  spec: VmSpec,
  host: Pick<VmHost, 'launcher' | 'vmm' | 'identity'>,
  files: VmFiles,
  cgroupFiles: readonly string[],
): Promise<LaunchedVm> {
  const first = 3; // descriptors 0, 1 and 2 are /dev/null, the console and the launcher's stderr
  const at = (socket: InheritedSocket) => first + inheritedSockets.indexOf(socket);
  const inherited: number[] = [];
  const inherit = ({ fd }: FileHandle) => first + inheritedSockets.length + inherited.push(fd) - 1;
  const { start } = files;
  const fds: VmmDescriptors = {
    ...{ monitor: at('monitor'), control: at('control'), stdin: at('stdin') },
    ...{ stdout: at('stdout'), stderr: at('stderr'), bulk: at('bulk') },
    start:
      'state' in start
        ? { state: inherit(start.state) }
        : { kernel: inherit(start.kernel), initramfs: inherit(start.initramfs) },
    disks: files.disks.map(inherit),
    scratch: inherit(files.scratch),
    scratchReader: inherit(files.scratchReader),
    stateSocket: files.stateSocket ? inherit(files.stateSocket) : null,
    memory: 'memory' in start ? inherit(start.memory) : first + inheritedSockets.length + inherited.length,
  };
  const memory =
    'memory' in start
      ? ['--last', String(fds.memory)]
      : [
          '--memory',
          `${spec.memoryMiB}:${fds.memory}`,
          ...(files.stateSocket ? ['--template', String(fds.memory + 1)] : []),
        ];
  const jail = { devices: host.vmm.devices(spec), filter: at('filter') };
  const launcher = await startProgram(
    host.launcher,
    [
      ...['--lease', String(at('lease')), '--status', String(at('status'))],
      ...memory,
      ...['--limits', `${spec.scratchMiB * 2 ** 20}:${vmmProcesses(spec)}`],
      ...cgroupFiles.flatMap((file) => ['--cgroup', file]),
      ...(host.identity ? ['--ids', `${host.identity.uid}:${host.identity.gid}`] : []),
      '--',
      ...jailArguments(host.vmm.command(spec, fds), jail),
    ],
    {
      env: {},
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe', ...inheritedSockets.map(() => 'pipe' as const), ...inherited],
    },
  );
  const socketOf = (socket: InheritedSocket) => launcher.stdio[at(socket)] as Socket;
  socketOf('filter').on('error', () => {}); // a launcher that ended early has not read it
  socketOf('filter').end(jailFilter());
  host.vmm.begin(socketOf('monitor'), fds);
  return {
    launcher,
    status: socketOf('status'),
    fds,
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
  };
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

/** Resolves with the launcher's report of the end or, when the launcher itself was killed, with what its parent sees. */
export function exitOf(launcher: ChildProcess, status: Socket): Promise<VmExit> {
  let line = '';
  status.setEncoding('latin1');
  status.on('data', (chunk: string) => {
    line = (line + chunk).slice(0, 200);
  });
  status.on('error', () => {});
  let stderr = '';
  launcher.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('latin1')).slice(-2000);
  });
  return new Promise((resolve) => {
    const report = (signal: NodeJS.Signals | null) => {
      const parsed = /^(-?\d+) (\d+) (exited|sealed|killed|lease|start) \d+\n$/.exec(line);
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
