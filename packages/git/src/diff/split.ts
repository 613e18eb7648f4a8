import type { FileDiff } from './read.ts';

/** A directory whose changes become a changeset of their own. */
export interface DiffGroup {
  readonly directory: string;
  readonly branch: string;
}

/**
 * Splits a diff by directories. Returns the part of each group by its branch, and the rest by null, which is there even if it is empty. Of
 * several groups that a file is in, the last counts; a file that moves is where it moves to.
 */
export function splitDiff(
  diff: Uint8Array,
  files: readonly FileDiff[],
  groups: readonly DiffGroup[],
): Map<string | null, Buffer> {
  const wanted = groups.map(({ directory, branch }) => ({
    branch,
    prefix: `${directory.replace(/^[~./]+/, '').replace(/\/+$/, '')}/`,
  }));
  const parts = new Map<string | null, Uint8Array[]>([[null, []]]);
  for (const { path, start, end } of files) {
    const branch = wanted.findLast(({ prefix }) => prefix === '/' || path.startsWith(prefix))?.branch ?? null;
    const part = parts.get(branch) ?? [];
    parts.set(branch, part);
    part.push(diff.subarray(start, end));
  }
  return new Map([...parts].map(([branch, part]) => [branch, Buffer.concat(part)]));
}
