import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, readFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { vmRefused } from '../errors.ts';
import { jailArguments, jailFilter } from '../jail/bwrap.ts';
import { type VmExit, type VmSockets, type VmSpec, vmmProcesses } from './spec.ts';
import type { VmHost } from './host.ts';

/** A launcher that was started, and the sockets of its VM. */
export interface LaunchedVm {
  readonly launcher: ChildProcess;
  readonly sockets: VmSockets;
  /** The stream on which the launcher reports the end. */
  readonly status: Socket;
  /** Descriptor number of the guest's memory, in the launcher and in the VMM. */
  readonly memory: number;
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
 * Starts the launcher of a VM. `files` are inherited: kernel, initramfs, the disks in slot order, and the scratch disk for writing
 * and for reading. The launcher joins the cgroups of `cgroupFiles`. Errors: `vm_refused` when this host cannot start a program.
 */
export async function launch(
  spec: VmSpec,
  host: Pick<VmHost, 'launcher' | 'vmm' | 'identity'>,
  files: readonly FileHandle[],
  cgroupFiles: readonly string[],
): Promise<LaunchedVm> {
  const first = 3; // descriptors 0, 1 and 2 are /dev/null, the console and the launcher's stderr
  const at = (socket: InheritedSocket) => first + inheritedSockets.indexOf(socket);
  const fileAt = first + inheritedSockets.length;
  const memory = fileAt + files.length;
  const fds = {
    ...{ monitor: at('monitor'), control: at('control'), stdin: at('stdin') },
    ...{ stdout: at('stdout'), stderr: at('stderr'), bulk: at('bulk') },
    ...{ kernel: fileAt, initramfs: fileAt + 1, memory },
    disks: spec.disks.map((_disk, index) => fileAt + 2 + index),
    scratch: memory - 2,
    scratchReader: memory - 1,
  };
  const launcher = await startProgram(
    host.launcher,
    [
      ...['--lease', String(at('lease')), '--status', String(at('status'))],
      ...['--memory', `${spec.memoryMiB}:${memory}`],
      ...['--limits', `${spec.scratchMiB * 2 ** 20}:${vmmProcesses(spec)}`],
      ...cgroupFiles.flatMap((file) => ['--cgroup', file]),
      ...(host.identity ? ['--ids', `${host.identity.uid}:${host.identity.gid}`] : []),
      '--',
      ...jailArguments(host.vmm.command(spec, fds), host.vmm.devices(spec), at('filter')),
    ],
    {
      env: {},
      cwd: '/',
      stdio: [
        'ignore',
        'pipe',
        'pipe',
        ...inheritedSockets.map(() => 'pipe' as const),
        ...files.map((file) => file.fd),
      ],
    },
  );
  const socketOf = (socket: InheritedSocket) => launcher.stdio[at(socket)] as Socket;
  socketOf('filter').on('error', () => {}); // a launcher that ended early has not read it
  socketOf('filter').end(jailFilter());
  return {
    launcher,
    status: socketOf('status'),
    memory,
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
      const parsed = /^(-?\d+) (\d+) (exited|killed|lease|start) \d+\n$/.exec(line);
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
