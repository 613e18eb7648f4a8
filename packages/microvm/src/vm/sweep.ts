import { readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeCgroup } from '../jail/cgroups.ts';
import { vmNamePrefix } from './spec.ts';
import { countLeftOver, endProcesses, type HostVm, type LeftOver } from './leftover.ts';

/** Suffix of the file that records that a VM of this run directory exists. */
const recordSuffix = '.vm';

/** Returns the path of a VM's record: `startVm` makes it before anything else of the VM, and `destroy` removes it last. */
export function recordPath(runDirectory: string, name: string): string {
  return join(runDirectory, `${name}${recordSuffix}`);
}

/** Writes the record of a VM: the uid of its VMM, or nothing. Errors: when there is a VM of this name. */
export async function writeRecord(runDirectory: string, { name, uid }: HostVm): Promise<void> {
  await writeFile(recordPath(runDirectory, name), uid === null ? '' : String(uid), { flag: 'wx' });
}

async function readRecord(runDirectory: string, name: string): Promise<HostVm> {
  const uid = await readFile(recordPath(runDirectory, name), 'latin1').catch(() => '');
  return { name, uid: uid === '' ? null : Number(uid) };
}

/**
 * Removes what a crash left of the VMs of this run directory, and of no others: kills their processes and removes their cgroups
 * and files. Returns the number of VMs, and what could not be removed.
 */
export async function sweepVms(
  runDirectory: string,
): Promise<{ readonly found: number; readonly left: LeftOver }> {
  const entries = (await readdir(runDirectory)).filter((file) => file.startsWith(vmNamePrefix));
  const names = [...new Set(entries.map((file) => file.replace(/\.[a-z0-9]+$/, '')))];
  const left = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
  for (const name of names) {
    const vm = await readRecord(runDirectory, name);
    await endProcesses(vm);
    await removeCgroup(name);
    for (const file of entries.filter((entry) => entry.startsWith(`${name}.`)))
      await unlink(join(runDirectory, file));
    const counted = countLeftOver(vm, new Set(), runDirectory);
    for (const key of Object.keys(left) as (keyof LeftOver)[]) left[key] += counted[key];
  }
  return { found: names.length, left };
}
