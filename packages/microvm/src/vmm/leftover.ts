import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { cgroupDirectories } from '../jail/cgroups.ts';

/** What of a VM is still on the host, counted. Zero everywhere is the promise. */
export interface LeftOver {
  readonly processes: number;
  readonly mounts: number;
  readonly namespaces: number;
  readonly loopDevices: number;
  readonly cgroups: number;
  readonly files: number;
}

/** Namespaces of a process, as the kernel names them (`net:[4026532000]`). */
export function namespacesOf(pid: number | 'self'): string[] {
  try {
    return readdirSync(`/proc/${pid}/ns`).map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
  } catch {
    return []; // it has ended
  }
}

/** Whether a text names this VM, as a word or a part of a path: another's name may begin like it. */
function names(text: string, name: string): boolean {
  return text.split(/[^a-z0-9-]+/).includes(name);
}

/** Processes whose command line names the VM. */
export function processesNaming(name: string): number[] {
  const own = String(process.pid);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && entry !== own)
    .filter((pid) => {
      try {
        return names(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), name);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/**
 * Counts what the VM of this name left. `namespaces` are those that it had, `directory` is where its files were.
 */
export function countLeftOver(name: string, namespaces: ReadonlySet<string>, directory: string): LeftOver {
  const alive = new Set<string>();
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    for (const namespace of namespacesOf(Number(pid))) if (namespaces.has(namespace)) alive.add(namespace);
  }
  const loops = readdirSync('/sys/block').filter((device) => {
    const file = `/sys/block/${device}/loop/backing_file`;
    return existsSync(file) && names(readFileSync(file, 'utf8'), name);
  });
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return {
    processes: processesNaming(name).length,
    mounts: mounts.filter((line) => names(line, name)).length,
    namespaces: alive.size,
    loopDevices: loops.length,
    cgroups: cgroupDirectories(name).filter((path) => existsSync(path)).length,
    files: readdirSync(directory).filter((file) => names(file, name)).length,
  };
}

/** A killed process group takes a moment to be gone from /proc; resolves after two seconds at the latest. */
export async function waitForDeath(name: string): Promise<void> {
  for (let tries = 0; tries < 200 && processesNaming(name).length > 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
