import type { ChangesetRow, SpecRow } from './rows.ts';

/** A changeset spec, and the changeset that it is for; one of them may be missing. */
export type Match =
  | { readonly spec: SpecRow; readonly changeset: ChangesetRow | null }
  | { readonly spec: null; readonly changeset: ChangesetRow };

/** Where a changeset is: the branch of a repository, or its number there. */
const placeOf = ({
  repository,
  headRef,
  externalId,
}: Pick<SpecRow, 'repository' | 'headRef' | 'externalId'>) =>
  JSON.stringify(headRef === null ? [repository, 'number', externalId] : [repository, 'branch', headRef]);

/**
 * Returns which changesets of a batch change the changeset specs of a batch spec are for: those of the same branch, or of the same number on the code
 * host. An archived changeset is used again if there is no other one; those that no spec is for are last, without archived ones.
 */
export function matchChangesets(specs: readonly SpecRow[], changesets: readonly ChangesetRow[]): Match[] {
  const known = new Map<string, ChangesetRow>();
  for (const changeset of changesets.toSorted((a, b) => Number(b.isArchived) - Number(a.isArchived)))
    known.set(placeOf(changeset), changeset);
  const used = new Set<ChangesetRow>();
  const matches = specs.map((spec): Match => {
    const changeset = known.get(placeOf(spec)) ?? null;
    if (changeset) used.add(changeset);
    return { spec, changeset };
  });
  const others = changesets.filter((changeset) => !changeset.isArchived && !used.has(changeset));
  return [...matches, ...others.map((changeset): Match => ({ spec: null, changeset }))];
}
