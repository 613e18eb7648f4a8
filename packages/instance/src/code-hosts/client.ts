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
 * Opens a changeset unless there is an open one of the head branch. Somebody may open another one at the same time. Some hosts refuse it
 * then; of those that do not, `find` returns the oldest one, which is returned to both, and the other one is closed.
 */
export async function openOnce(
  { find, close }: Pick<CodeHost, 'find' | 'close'>,
  head: string,
  create: () => Promise<RemoteChangeset>,
): Promise<RemoteChangeset> {
  const found = await find(head);
  if (found) return found;
  const made = await create().catch(async (error: unknown) => {
    const other = error instanceof FumehoodError && error.code === 'host_refused' ? await find(head) : null;
    if (other) return other;
    throw error;
  });
  const oldest = (await find(head)) ?? made;
  if (oldest.externalId !== made.externalId) await close(made.externalId);
  return oldest;
}
