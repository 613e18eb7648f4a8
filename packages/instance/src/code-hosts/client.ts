import { FumehoodError } from '@fumehood/base';
import type { CodeHost, RemoteChangeset } from './code-host.ts';
import { hostRepositoryMissing } from './errors.ts';
import type { HostHttp, HostRequest } from './http.ts';
import type { HostRepository } from './repository.ts';

/** Most pages of a list that are read. */
export const pagesMax = 100;

/** Sends requests about a repository that has to be there. Errors: those of `CodeHost`. */
export type Send = <T>(request: HostRequest<T>) => Promise<T>;

/** Returns a function for requests to which 404 is no answer but that of a repository that the token does not show. */
export function required(http: HostHttp, { name, path }: HostRepository): Send {
  return async (request) => {
    const answer = await http(request);
    if (answer === null) throw hostRepositoryMissing(name, path.join('/'));
    return answer;
  };
}

/**
 * Opens a changeset unless there is an open one of the head branch. `create` returns its number. Somebody may open another one at the same
 * time. Some hosts refuse it then; of those that do not, `find` returns the oldest one, which is returned to both, and the other one is
 * closed.
 */
export async function openOnce(
  { find, read, close }: Pick<CodeHost, 'find' | 'read' | 'close'>,
  head: string,
  create: () => Promise<string>,
): Promise<RemoteChangeset> {
  const found = await find(head);
  if (found) return found;
  const made = await create().catch((error: unknown) => {
    if (error instanceof FumehoodError && error.code === 'host_refused') return error;
    throw error;
  });
  const oldest = await find(head);
  if (made instanceof FumehoodError) {
    if (oldest) return oldest;
    throw made;
  }
  if (oldest === null) return await read(made); // its list lags behind
  if (oldest.externalId !== made) await close(made);
  return oldest;
}
