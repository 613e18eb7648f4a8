import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AllowedCommand } from './remote-commands.ts';
import { runToEnd } from './run.ts';
import type { Spawn } from './spawn.ts';

const target = '/garbage';
const programs = [
  { program: '/usr/bin/chmod', args: ['-R', 'u+rwx', target] },
  { program: '/usr/bin/rm', args: ['-rf', target] },
] as const;

/** Returns what a helper has to allow for `removeTree` below this directory. */
export function removalCommands(directory: string): AllowedCommand[] {
  return programs.map((command) => ({
    ...command,
    binds: [{ target, mode: 'rw', from: directory }],
  }));
}

/** Time for each of the two programs, ms. */
const removalMs = 120_000;

/**
 * Removes a directory in which programs under the profile could write, whatever they left in it. Never rejects, because a cleanup
 * that fails on what it finds would be a weapon. Resolves with false when something is left.
 */
export async function removeTree(spawn: Spawn, path: string): Promise<boolean> {
  if (await isRemoved(path)) return true;
  // Directories that only the programs' user may enter, names that are no UTF-8, and paths that are too long for one system call.
  await openToGroup(path).catch(() => {});
  for (const { program, args } of programs)
    await runToEnd(spawn, {
      label: 'the removal of a directory',
      program,
      args,
      binds: [{ source: path, target, mode: 'rw' }],
      limits: { timeMs: removalMs },
    }).catch(() => {}); // they also meet what this process owns; what counts is whether it can be removed now
  return isRemoved(path);
}

/** Lets the programs, whose group is that of this process, change the directories of this process. */
async function openToGroup(path: string): Promise<void> {
  const is = await lstat(path);
  if (!is.isDirectory() || is.uid !== process.geteuid?.()) return;
  await chmod(path, 0o770);
  for (const name of await readdir(path)) await openToGroup(join(path, name)).catch(() => {});
}

async function isRemoved(path: string): Promise<boolean> {
  try {
    await rm(path, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}
