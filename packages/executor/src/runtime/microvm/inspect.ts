import type { JobResultRequest } from '@fumehood/protocol';
import type { AgentVm } from './vm-source.ts';

type Inspection = NonNullable<JobResultRequest['inspection']>;

/**
 * Searches the memory and the scratch disk of a paused VM for credentials of this run. `control` is a value that the host has put
 * into the guest: if the search does not find it, its other results prove nothing.
 */
export async function searchVm(
  vm: AgentVm,
  credentials: readonly string[],
  control: string,
): Promise<Inspection> {
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
