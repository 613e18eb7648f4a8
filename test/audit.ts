import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/**
 * What a VM, an executor or a test may leave on this machine. Each function returns one line for each thing, which names it: what is
 * there after a test and was not before it is left behind.
 */

/** A process of this machine. */
interface Process {
  readonly pid: number;
  /** The arguments, each with a NUL at its end. */
  readonly command: string;
}

export function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // what it is about has ended
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

export function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid: Number(pid), command: read(`/proc/${pid}/cmdline`) }));
}

/** Returns the VMMs and launchers. */
export function vmProcesses(): string[] {
  return processes()
    .map(({ command }) => command)
    .filter((command) => /\0(-name|--id)\0fumehood-|^\S*\/launcher[^/]*\0--lease\0/.test(command));
}

/** Returns the mount points that this process sees. The name of a namespace that is kept by a mount is one of them. */
export function mountPoints(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
}

/** Returns the cgroups of VMs and of programs under the profile. */
export function cgroups(): string[] {
  return readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' }).filter((path) =>
    /(?:^|\/)fumehood\/fumehood-[^/]+$/.test(path),
  );
}

export function loopDevices(): string[] {
  return readdirSync('/sys/block')
    .map((name) => read(`/sys/block/${name}/loop/backing_file`))
    .filter((file) => file.includes('fumehood'));
}

/** Returns where the open files of a process lead to, by descriptor. */
function openFiles(pid: number): { readonly path: string; readonly to: string }[] {
  return list(`/proc/${pid}/fd`).map((fd) => {
    const path = `/proc/${pid}/fd/${fd}`;
    return { path, to: link(path) };
  });
}

/** Returns the memory files that any process holds, each by the name that a VM's launcher gave it. */
export function memfds(): string[] {
  const found = processes().flatMap(({ pid }) =>
    openFiles(pid)
      .filter(({ to }) => /^\/memfd:(guest-memory|device-state)/.test(to))
      .map(({ path, to }) => `${to} ${inode(path)}`),
  );
  return [...new Set(found)];
}

function inode(path: string): string {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return '';
  }
}

/** Returns the processes, besides this one, that name this directory, or hold something in it. */
export function processesBelow(directory: string): string[] {
  return processes()
    .filter(({ pid }) => pid !== process.pid)
    .filter(
      ({ pid, command }) =>
        command.includes(directory) ||
        [link(`/proc/${pid}/cwd`), link(`/proc/${pid}/exe`)].some((path) => path.startsWith(directory)) ||
        openFiles(pid).some(({ to }) => to.startsWith(directory)),
    )
    .map(({ pid, command }) => `${pid} ${command.replaceAll('\0', ' ')}`);
}

/** Returns the unix sockets that listen in this directory. */
export function socketsBelow(directory: string): string[] {
  return read('/proc/net/unix')
    .split('\n')
    .map((line) => line.split(' ').slice(7).join(' '))
    .filter((path) => path.startsWith(directory));
}

/** Returns the namespaces of a process that are not those of this process, as the kernel names them (`net:[4026532000]`). */
export function ownNamespaces(pid: number): string[] {
  return list(`/proc/${pid}/ns`)
    .map((name) => [link(`/proc/${pid}/ns/${name}`), link(`/proc/self/ns/${name}`)])
    .flatMap(([its, ours]) => (its && its !== ours ? [its] : []));
}

/** Returns those of these namespaces that still exist: a process is in them, or holds one open. */
export function aliveOf(namespaces: ReadonlySet<string>): string[] {
  const alive = new Set<string>();
  for (const { pid } of processes()) {
    const held = openFiles(pid).map(({ to }) => to);
    for (const one of [...ownNamespaces(pid), ...held]) if (namespaces.has(one)) alive.add(one);
  }
  return [...alive];
}

/** Counts the open files of a process by kind: memory files, unix sockets, pipes and files. */
export function openFilesByKind(pid: number): Record<string, number> {
  const unix = new Set(
    read('/proc/net/unix')
      .split('\n')
      .map((line) => line.trim().split(/ +/)[6]),
  );
  const counts = { memfds: 0, sockets: 0, files: 0 };
  for (const { to } of openFiles(pid)) {
    const socket = /^socket:\[(\d+)\]/.exec(to)?.[1];
    if (to.startsWith('/memfd:')) counts.memfds += 1;
    else if (socket !== undefined && unix.has(socket)) counts.sockets += 1;
    else if (to.startsWith('/') && !to.startsWith('/dev/') && !to.startsWith('/proc/')) counts.files += 1;
  }
  return counts;
}
