import { createHash } from 'node:crypto';
import { availableParallelism, totalmem } from 'node:os';
import type { GroupProcesses } from '@fumehood/base';
import { makeCgroup, removeCgroup, removeCgroups } from '@fumehood/microvm';
import type { GroupNetworks } from './networks.ts';

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

/** The processes and threads of the one that serves networks: Node has a dozen threads. */
const networkProcesses = 64;

/** An eighth of the memory of this machine is what the process that serves networks may take, with the kernel's buffers for its connections, bytes. */
export const networkMemory = () => Math.max(2 ** 28, Math.floor(totalmem() / 8));

/** Returns a function that makes the cgroup of that process. */
export function networkGroup(state: string): GroupNetworks {
  const name = `${prefixOf(state)}networks`;
  return async () => ({
    joinFiles: await makeCgroup(name, {
      memoryBytes: networkMemory(),
      pids: networkProcesses,
      cpus: availableParallelism(),
    }),
    remove: () => removeCgroup(name),
  });
}

/** Removes the cgroups that a killed helper left. The programs in them have died with it. */
export function sweepProgramGroups(state: string): Promise<void> {
  return removeCgroups(prefixOf(state));
}
