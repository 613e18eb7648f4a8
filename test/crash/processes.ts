import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process of this machine, as /proc shows it. */
export interface Process {
  readonly pid: number;
  /** The arguments, joined by blanks. */
  readonly command: string;
}

/** Returns a process and its descendants, parents first. */
export function treeOf(pid: number): Process[] {
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  if (command === '') return []; // it has ended, even if its parent has not waited for it yet
  const children = threadsOf(pid)
    .flatMap((thread) => read(`/proc/${pid}/task/${thread}/children`).split(' '))
    .filter((child) => child !== '');
  return [{ pid, command }, ...children.flatMap((child) => treeOf(Number(child)))];
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Sends a signal to a process that may just have ended. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Resolves with the time of a process's death, some milliseconds late at most. */
export async function deathOf({ pid }: Process): Promise<number> {
  while (isAlive(pid)) await sleep(2);
  return performance.now();
}

/** Returns whether a process runs. A process that is dead and not yet waited for does not. */
export function isAlive(pid: number): boolean {
  try {
    // The state follows the name, which may contain anything. Z: dead and not yet waited for.
    return !/^[ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1) ?? 'Z');
  } catch {
    return false;
  }
}
