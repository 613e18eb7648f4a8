import { openMonitor } from '@fumehood/microvm';
import type { JobResultRequest } from '@fumehood/protocol';
import type { AgentVm } from './vm-source.ts';

type Inspection = NonNullable<JobResultRequest['inspection']>;

/**
 * Stops the guest and searches its memory and scratch disk for credentials of this run. `control` was put into the guest on
 * purpose: a search that does not find it has proved nothing. The VM stays stopped.
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
