import { openMonitor } from '@fumehood/microvm';
import type { JobResultRequest } from '@fumehood/protocol';
import type { AgentVm } from './vm-source.ts';

type Inspection = NonNullable<JobResultRequest['inspection']>;

/**
 * Pauses the VM and searches its memory and its scratch disk for credentials of this run. `control` is a value that the host has
 * put into the guest: if the search does not find it, its other results prove nothing. The VM stays paused.
 */
export async function inspectVm(
  vm: AgentVm,
  credentials: readonly string[],
  control: string,
): Promise<Inspection> {
  await openMonitor(vm.sockets.monitor).pause();
  const { searchedBytes, found } = await vm.search(
    [...credentials, control].map((text) => Buffer.from(text)),
  );
  const counts = found.slice(0, credentials.length);
  return {
    searchedBytes,
    credentials: credentials.length,
    found: counts.reduce((sum, count) => sum + count, 0),
    controlFound: (found[credentials.length] ?? 0) > 0,
  };
}
