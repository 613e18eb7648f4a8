import { FumehoodError } from '@fumehood/base';
import type { CodeHost, HostComment, HostFork, RemoteChangeset } from './code-host.ts';
import { hostAnswerInvalid, hostNotReady, hostRefused, hostRepositoryMissing } from './errors.ts';
import type { HostHttp, HostRequest } from './http.ts';
import type { HostRepository } from './repository.ts';

/** Most pages of a list that are read. */
const pagesMax = 100;

/**
 * Reads the pages of a list, from page 1. A page of fewer than `fewest` items is the last one. `tooMany`: the error if there are more than a
 * hundred pages; without it, the rest is left out.
 */
export async function readPages<T>(
  readPage: (page: string) => Promise<readonly T[]>,
  fewest: number,
  tooMany?: (pages: number) => FumehoodError,
): Promise<T[]> {
  const all: T[] = [];
  for (let page = 1; page <= pagesMax; page += 1) {
    const part = await readPage(String(page));
    all.push(...part);
    if (part.length < fewest) return all;
  }
  if (tooMany) throw tooMany(pagesMax);
  return all;
}

/** Whether the path of a repository has this many parts, at least and at most, with names as code hosts give them. */
export const isPath = (path: readonly string[], least: number, most: number): boolean =>
  path.length >= least && path.length <= most && path.every((part) => /^(?!\.\.?$)[\w.-]+$/.test(part));

/** Whether a path is that of an owner and a repository. */
export const isOwned = (path: readonly string[]): boolean => isPath(path, 2, 2);

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
  { head, fork }: { readonly head: string; readonly fork: string | null },
  create: () => Promise<string>,
): Promise<RemoteChangeset> {
  const found = await find(head, fork);
  if (found) return found;
  const made = await create().catch(refusal);
  const oldest = await find(head, fork);
  if (made instanceof FumehoodError) {
    if (oldest) return oldest;
    throw made;
  }
  if (oldest === null) return await read(made); // its list lags behind
  if (oldest.externalId !== made) await close(made);
  return oldest;
}

/** Returns the error by which a host refuses, and throws any other one. */
function refusal(error: unknown): FumehoodError {
  if (error instanceof FumehoodError && error.code === 'host_refused') return error;
  throw error;
}

/**
 * Merges an open changeset. `merge` asks the host for that; `isUndecided` is whether the host refuses only because it does not know yet
 * whether the changeset can be merged. Whoever repeats this finds a changeset that is merged.
 */
export async function mergeOnce(
  { name }: HostRepository,
  read: CodeHost['read'],
  externalId: string,
  {
    merge,
    isUndecided,
  }: {
    readonly merge: () => Promise<unknown>;
    readonly isUndecided: (refused: FumehoodError) => Promise<boolean>;
  },
): Promise<RemoteChangeset> {
  const before = await read(externalId);
  if (before.state === 'merged') return before;
  if (before.state !== 'open') throw hostRefused(name, `the changeset ${externalId} is ${before.state}`);
  const refused = await merge().then(() => null, refusal);
  const after = await read(externalId);
  if (refused === null || after.state === 'merged') return after;
  throw (await isUndecided(refused)) ? hostNotReady(name, refused.message) : refused;
}

/**
 * Adds a comment unless there is one with its mark, and returns the changeset. `list` returns the comments since its time; `add` gets the
 * text. One that the host no longer has gets none.
 */
export async function commentOnce(
  read: CodeHost['read'],
  externalId: string,
  { id, body }: HostComment,
  {
    list,
    add,
  }: {
    readonly list: () => Promise<readonly { readonly body?: string | undefined }[]>;
    readonly add: (text: string) => Promise<unknown>;
  },
): Promise<RemoteChangeset> {
  const changeset = await read(externalId);
  if (changeset.state === 'deleted') return changeset;
  const mark = `<!-- fumehood ${id} -->`;
  const comments = await list();
  if (!comments.some((one) => one.body?.includes(mark))) await add(`${body}\n\n${mark}`);
  return changeset;
}

/** The name of the fork of a repository, as upstream names them: one user may have forks of repositories of the same name. */
export const forkName = ({ path }: HostRepository): string => path.join('-');

/**
 * Returns the fork of a name that the host has said. Its address is below that of the host, whatever the host says. `isRepository`: whether
 * the host can have the path.
 */
export function forkAt(
  { name: host, url, token }: HostRepository,
  isRepository: (path: readonly string[]) => boolean,
  name: string,
  username: string,
): HostFork {
  if (!isRepository(name.split('/'))) throw hostAnswerInvalid(host, `${name.slice(0, 100)} is no fork`);
  return { name, url: `${url}/${name}.git`, username, password: token };
}
