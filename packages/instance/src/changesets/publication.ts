import { type ChangesetTemplate, matchesGlob } from '@fumehood/batch-spec';
import type { Publication } from '@fumehood/protocol';

/**
 * Returns what a template says of the publication of a changeset; null: nothing. Of a list of patterns the last that matches counts: a pattern for the
 * name of the repository, which may end with `@` and the name of a branch.
 */
export function publicationIn(
  published: ChangesetTemplate['published'],
  repository: string,
  branch: string,
): Publication | null {
  if (!Array.isArray(published)) return published ?? null;
  const found = published
    .flatMap((one) => Object.entries(one))
    .findLast(([pattern]) => {
      const at = pattern.indexOf('@');
      if (at >= 0 && pattern.slice(at + 1) !== branch) return false;
      return matchesGlob(repository, at < 0 ? pattern : pattern.slice(0, at));
    });
  return found?.[1] ?? null;
}

/** Returns whether a changeset shall be published: what its spec says or, where that says nothing, what users ask for. */
export function wantedPublication(said: Publication | null, asked: Publication | null): Publication {
  return said ?? asked ?? false;
}
