import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = '/sys/fs/cgroup';
const parent = 'fumehood';

/** Limits of a cgroup. */
export interface CgroupLimits {
  readonly memoryBytes: number;
  readonly pids: number;
  readonly cpus: number;
}

/** Returns true where the host has one cgroup tree (v2), false for separate trees (v1), which hybrid hosts have, too. */
function isUnified(): boolean {
  return existsSync(join(root, 'cgroup.controllers'));
}

/** Returns the directories of the cgroup of this name: one under v2, one for each controller under v1. */
export function cgroupDirectories(name: string): string[] {
  if (isUnified()) return [join(root, parent, name)];
  return ['memory', 'cpu', 'pids']
    .filter((controller) => existsSync(join(root, controller)))
    .map((controller) => join(root, controller, parent, name));
}

/** Makes a cgroup with its limits. Returns the `cgroup.procs` files to which a process writes 0 to join. */
export async function makeCgroup(name: string, limits: CgroupLimits): Promise<string[]> {
  const period = 100_000;
  const quota = String(limits.cpus * period);
  const v1: Record<string, [string, string][]> = {
    memory: [['memory.limit_in_bytes', String(limits.memoryBytes)]],
    cpu: [['cpu.cfs_quota_us', quota]],
    pids: [['pids.max', String(limits.pids)]],
  };
  const v2: [string, string][] = [
    ['memory.max', String(limits.memoryBytes)],
    ['memory.swap.max', '0'],
    ['pids.max', String(limits.pids)],
    ['cpu.max', `${quota} ${period}`],
  ];
  if (isUnified()) await delegateControllers();
  const directories = cgroupDirectories(name);
  for (const directory of directories) {
    await mkdir(directory, { recursive: true });
    const controller = directory.slice(root.length + 1).split('/', 1)[0] as string;
    for (const [file, value] of isUnified() ? v2 : (v1[controller] ?? [])) {
      const path = join(directory, file);
      if (file !== 'memory.swap.max' || existsSync(path)) await writeFile(path, value);
    }
  }
  return directories.map((directory) => join(directory, 'cgroup.procs'));
}

async function delegateControllers(): Promise<void> {
  await mkdir(join(root, parent), { recursive: true });
  for (const directory of [root, join(root, parent)]) {
    await writeFile(join(directory, 'cgroup.subtree_control'), '+memory +pids +cpu');
  }
}

/** Removes a cgroup whose processes are dead. A directory that stays busy for 200 ms is left to the count and the sweep. */
export async function removeCgroup(name: string): Promise<void> {
  for (const directory of cgroupDirectories(name)) {
    for (let tries = 0; tries < 20; tries++) {
      const error = await rmdir(directory).then(
        () => null,
        (reason: NodeJS.ErrnoException) => reason,
      );
      if (error?.code !== 'EBUSY') break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Removes the cgroups whose names begin with this prefix, and whose processes are dead. */
export async function removeCgroups(prefix: string): Promise<void> {
  for (const directory of cgroupDirectories('').map((path) => path.replace(/\/$/, ''))) {
    const names = await readdir(directory).catch(() => []);
    for (const name of names.filter((one) => one.startsWith(prefix))) await removeCgroup(name);
  }
}

/** Resolves with whether the kernel has killed a process of this cgroup because the cgroup had no memory left. */
export async function ranOutOfMemory(name: string): Promise<boolean> {
  const files = cgroupDirectories(name).flatMap((directory) =>
    ['memory.events', 'memory.oom_control'].map((file) => readFile(join(directory, file), 'latin1')),
  );
  const read = await Promise.allSettled(files);
  return read.some((file) => file.status === 'fulfilled' && /^oom_kill [1-9]/m.test(file.value));
}

/** Resolves with whether this process may make cgroups with limits. */
export async function canLimit(): Promise<boolean> {
  try {
    const made = await makeCgroup(`probe-${process.pid}`, { memoryBytes: 1 << 26, pids: 16, cpus: 1 });
    await removeCgroup(`probe-${process.pid}`);
    return made.length > 0; // there is none where no controller is mounted
  } catch {
    return false;
  }
}
