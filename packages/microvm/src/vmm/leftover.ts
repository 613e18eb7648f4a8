import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
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

/** Returns the ids of the processes whose command line contains the VM's name. */
export function processesNaming(name: string): number[] {
  const own = String(process.pid);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && entry !== own)
    .filter((pid) => {
      try {
        return mentions(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), name);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Counts what the VM of this name left. `namespaces` are the ones that it had; `directory` held its files. */
export function countLeftOver(name: string, namespaces: ReadonlySet<string>, directory: string): LeftOver {
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
    processes: processesNaming(name).length,
    mounts: mounts.filter((line) => mentions(line, name)).length,
    namespaces: alive.size,
    loopDevices: loops.length,
    cgroups: cgroupDirectories(name).filter((path) => existsSync(path)).length,
    files: readdirSync(directory).filter((file) => mentions(file, name)).length,
  };
}

/** Resolves when no process of the VM is left in /proc, which takes a moment after a kill, or after two seconds. */
export async function waitForDeath(name: string): Promise<void> {
  for (let tries = 0; tries < 200 && processesNaming(name).length > 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
