import { existsSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type ClosedDirectory, stateClosed } from '../errors.ts';
import type { State } from './state.ts';

/**
 * Makes the state directory and its missing parents. Root starts processes as other users (`up/identities.ts`), so a parent that
 * they cannot traverse is refused before anything is made. Errors: `state_closed`.
 */
export function makeState(state: State, root: boolean): void {
  const closed = root ? closedParents(state.root) : [];
  if (closed.length > 0) throw stateClosed(state.root, closed);
  mkdirSync(state.root, { recursive: true, mode: 0o755 });
}

/**
 * Returns the existing directories above `path` that other users cannot traverse, from the top. They include those to which
 * symbolic links lead. Most of our users have no account, so they own no directory and are in no group: the permissions of others
 * decide.
 */
export function closedParents(path: string): ClosedDirectory[] {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  const resolved = join(realpathSync(existing), relative(existing, path));
  return [...new Set([...parentsOf(path), ...parentsOf(resolved)])]
    .filter((directory) => existsSync(directory))
    .map((directory) => {
      const { mode, uid } = statSync(directory);
      return { path: directory, mode: mode & 0o7777, uid };
    })
    .filter(({ mode }) => (mode & 0o001) === 0);
}

/** Returns the directories above a path, from the top. */
function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...parentsOf(parent), parent];
}
