import { FumehoodError, openFetch } from '@fumehood/base';
import type { RemoteHttp } from '@fumehood/git';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import type { Vault } from '../secrets/vault.ts';
import { repositoryNotFound, repositorySent } from './errors.ts';
import { passwordOf, type Remote } from './records.ts';

/**
 * Returns a function that sends requests to the remote of a repository with its credential. Errors: `repository_not_found`,
 * `repository_sent`, `secret_of_other_key`, `secret_damaged`; of the function: `remote_unreachable`.
 */
export async function openRemote(
  db: Db,
  vault: Vault,
  repository: string,
  signal: AbortSignal,
): Promise<RemoteHttp> {
  const { rows } = await sql<Omit<Remote, 'url'> & { readonly url: string | null }>`
    select name, url, username, password from repositories where name = ${repository}
  `.execute(db);
  if (!rows[0]) throw repositoryNotFound(repository);
  const { url, ...remote } = rows[0];
  if (url === null) throw repositorySent(repository);
  return remoteHttp(vault, { ...remote, url }, signal);
}

/** Returns a function that sends requests to a remote with its credential. Errors: `secret_of_other_key`, `secret_damaged`. */
export function remoteHttp(vault: Vault, remote: Remote, signal: AbortSignal): RemoteHttp {
  const { url, username } = remote;
  const password = passwordOf(vault, remote);
  return httpTo(url, password === null ? null : { username: username ?? '', password }, signal);
}

/** Returns a function that sends requests to a git server with a credential. Errors of the function: `remote_unreachable`. */
export function httpTo(
  url: string,
  credential: { readonly username: string; readonly password: string } | null,
  signal: AbortSignal,
): RemoteHttp {
  const fetchFrom = openFetch(url);
  const authorization =
    credential === null
      ? null
      : `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`;
  return async ({ headers, ...request }) => {
    try {
      return await fetchFrom({
        ...request,
        headers: { ...headers, ...(authorization !== null && { authorization }) },
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      const { cause, message } = error as Error;
      const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : message;
      throw new FumehoodError({
        code: 'remote_unreachable',
        message: `the git server cannot be reached: ${why}`,
        remedy: 'Wait: the instance tries again by itself. If this lasts, check the URL of the repository.',
      });
    }
  };
}
