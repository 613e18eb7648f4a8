import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FumehoodError, socketPathMax, trustedUids, untrustedPart } from '@fumehood/base';
import { type ClosedDirectory, stateClosed, stateUnsafe, stateUnusable } from '../errors.ts';
import { markState } from './marker.ts';
import type { State } from './state.ts';

/**
 * Makes and marks the state directory, and makes its missing parents. A place where nothing could run is refused before anything is
 * made. So is one that another user could change, because it holds secrets and programs, and a directory with files of others.
 * Errors: `state_unusable`, `state_closed`, `state_unsafe`, `state_foreign`.
 */
export function makeState(state: State, root: boolean): void {
  const error = placeError(state, root);
  if (error) throw error;
  const unsafe = untrustedPart(existingPart(state.root), trustedUids());
  if (unsafe !== null) throw stateUnsafe(state.root, unsafe);
  mkdirSync(state.root, { recursive: true, mode: 0o755 });
  markState(state);
}

/**
 * Returns the error of a place where the processes of Fumehood could not work, or null. Root starts them as several users
 * (`up/identities.ts`), who have to be able to traverse the directories above.
 */
export function placeError(state: State, root: boolean): FumehoodError | null {
  const why = unusableName(state);
  if (why !== null) return stateUnusable(state.root, why);
  const closed = root ? closedParents(state.root) : [];
  return closed.length > 0 ? stateClosed(state.root, closed) : null;
}

/** Returns what the path has that a part of Fumehood cannot work with, or null. */
function unusableName({ root, postgres }: State): string | null {
  // Node.js loads no module from a path with a backslash. PostgreSQL has a shell start programs that are below the directory.
  const [character] = /["$`\\]/.exec(root) ?? [];
  if (character) return `programs do not start from a path with the character ${character}`;
  if (/\p{Cc}/u.test(root))
    return 'it contains a control character, and PostgreSQL does not work in such a directory';
  if (root.includes('\uFFFD')) return 'it is not text in UTF-8';
  const surplus = Buffer.byteLength(join(postgres, 'socket/.s.PGSQL.5432')) - socketPathMax;
  return surplus > 0 ? `it is ${surplus} bytes too long for the sockets below it` : null;
}

/**
 * Returns the existing directories above a real path that other users cannot traverse, from the top. Most of our users have no
 * account, so they own no directory and are in no group: the permissions of others decide.
 */
export function closedParents(path: string): ClosedDirectory[] {
  return parentsOf(path)
    .filter((directory) => existsSync(directory))
    .map((directory) => {
      const { mode, uid } = statSync(directory);
      return { path: directory, mode: mode & 0o7777, uid };
    })
    .filter(({ mode }) => (mode & 0o001) === 0);
}

function existingPart(path: string): string {
  return existsSync(path) ? path : existingPart(dirname(path));
}

/** Returns the directories above a path, from the top. */
function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...parentsOf(parent), parent];
}
