import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process of this machine, as /proc shows it. */
export interface Process {
  readonly pid: number;
  /** Its arguments, joined by blanks. */
  readonly command: string;
}

/** The process and everything below it, parents first. */
export function treeOf(pid: number): Process[] {
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  if (command === '') return []; // gone, or a zombie that nobody has waited for yet
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

/** When a process is dead, as whoever waits for it sees it: at the latest some milliseconds ago. */
export async function deathOf({ pid }: Process): Promise<number> {
  while (isAlive(pid)) await sleep(2);
  return performance.now();
}

export function isAlive(pid: number): boolean {
  try {
    // After the name, which may hold anything: the state, Z once it is dead and not yet waited for.
    return !/^[ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1) ?? 'Z');
  } catch {
    return false;
  }
}
