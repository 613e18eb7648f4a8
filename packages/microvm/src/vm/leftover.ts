import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupDirectories } from '../jail/cgroups.ts';

/** Counts of what a VM left on the host. Every count is zero when the cleanup worked. */
export interface LeftOver {
  readonly processes: number;
  readonly mounts: number;
  readonly namespaces: number;
  readonly loopDevices: number;
  readonly cgroups: number;
  readonly files: number;
}

/** Returns the namespaces of a process as the kernel names them (`net:[4026532000]`). */
export function namespacesOf(pid: number | 'self'): string[] {
  try {
    return readdirSync(`/proc/${pid}/ns`).map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
  } catch {
    return []; // the process has ended
  }
}

/** Returns whether a text contains the VM's name as a whole word: the name of another VM may begin with it. */
function mentions(text: string, name: string): boolean {
  return text.split(/[^a-z0-9-]+/).includes(name);
}

/** A VM as its host knows it. */
export interface HostVm {
  readonly name: string;
  /** The uid of its VMM; null without root, where the VMM runs as the user of this process. */
  readonly uid: number | null;
}

/**
 * Returns the ids of the VM's processes: the members of its cgroup, which they cannot leave, and processes of its own users whose
 * command line contains its name. Other users can put a VM's name into a command line, and a VMM can change its own.
 */
export function processesOf(vm: HostVm): number[] {
  const members = cgroupDirectories(vm.name).flatMap((directory) =>
    read(join(directory, 'cgroup.procs')).split('\n').filter(Boolean).map(Number),
  );
  const named = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && isNamedProcess(pid, vm));
  return [...new Set([...members, ...named])];
}

function isNamedProcess(pid: number, { name, uid }: HostVm): boolean {
  const command = read(`/proc/${pid}/cmdline`);
  if (!mentions(command, name)) return false;
  const owner = Number(/^Uid:\t(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? -1);
  if (uid === null) return owner === process.getuid?.();
  const isLauncher = /^[^\0]*\/launcher[^/\0]*\0--lease\0/.test(command);
  return owner === uid || (isLauncher && owner === process.getuid?.());
}

/** Returns the content of a file of the kernel, or '' when what it is about has ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** Counts what the VM left. `namespaces` are the ones that it had; `directory` held its files. */
export function countLeftOver(vm: HostVm, namespaces: ReadonlySet<string>, directory: string): LeftOver {
  const { name } = vm;
  const alive = new Set<string>();
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    for (const namespace of namespacesOf(Number(pid))) if (namespaces.has(namespace)) alive.add(namespace);
  }
  const loops = readdirSync('/sys/block').filter((device) => {
    const file = `/sys/block/${device}/loop/backing_file`;
    return existsSync(file) && mentions(readFileSync(file, 'utf8'), name);
  });
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return {
    processes: processesOf(vm).length,
    mounts: mounts.filter((line) => mentions(line, name)).length,
    namespaces: alive.size,
    loopDevices: loops.length,
    cgroups: cgroupDirectories(name).filter((path) => existsSync(path)).length,
    files: readdirSync(directory).filter((file) => mentions(file, name)).length,
  };
}

/**
 * Kills the VM's processes until none is left in /proc, for two seconds at most. The launcher's death is not enough: bubblewrap may
 * have been killed before its child had asked the kernel to die with it.
 */
export async function endProcesses(vm: HostVm): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const pids = processesOf(vm);
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // the process has ended
  }
}
