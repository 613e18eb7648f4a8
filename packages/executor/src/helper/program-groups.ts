import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { GroupProcesses } from '@fumehood/base';
import { makeCgroup, removeCgroup, removeCgroups } from '@fumehood/microvm';

/** Returns how the names of the cgroups begin that have the programs of the executor with this state directory. */
function prefixOf(state: string): string {
  return `fumehood-program-${createHash('sha256').update(state).digest('hex').slice(0, 8)}-`;
}

/** Returns a function that makes a cgroup for one program under the profile, beside those of VMs. */
export function programGroups(state: string): GroupProcesses {
  let last = 0;
  return async ({ memoryBytes, processes }) => {
    const name = `${prefixOf(state)}${(last += 1)}`;
    const joinFiles = await makeCgroup(name, {
      memoryBytes,
      pids: processes,
      cpus: availableParallelism(),
    });
    return { joinFiles, remove: () => removeCgroup(name) };
  };
}

/** Removes the cgroups that a killed helper left. The programs in them have died with it. */
export function sweepProgramGroups(state: string): Promise<void> {
  return removeCgroups(prefixOf(state));
}
