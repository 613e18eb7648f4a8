import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { trustedUids, untrustedPart } from '@fumehood/base';
import { type ClosedDirectory, stateClosed, stateUnsafe } from '../errors.ts';
import { markState } from './marker.ts';
import type { State } from './state.ts';

/**
 * Makes and marks the state directory, and makes its missing parents. Root starts processes as other users (`up/identities.ts`), so a parent that
 * they cannot traverse is refused before anything is made. So is a place that another user could change: what is there holds secrets
 * and programs. A directory with files of others is refused, too. Errors: `state_closed`, `state_unsafe`, `state_foreign`.
 */
export function makeState(state: State, root: boolean): void {
  const closed = root ? closedParents(state.root) : [];
  if (closed.length > 0) throw stateClosed(state.root, closed);
  const unsafe = untrustedPart(existingPart(state.root), trustedUids());
  if (unsafe !== null) throw stateUnsafe(state.root, unsafe);
  mkdirSync(state.root, { recursive: true, mode: 0o755 });
  markState(state);
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
