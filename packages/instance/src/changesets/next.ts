import type { Publication } from '@fumehood/protocol';
import type { Match } from './match.ts';
import type { ChangesetFacts } from './plan.ts';

/**
 * Returns what will be known of a changeset once the batch spec is applied. One without a changeset spec is closed and archived if others can see it, and detached
 * if not. `asked`: what the user who applies asks for; undefined: nothing new.
 */
export function factsOnceApplied(
  { spec, changeset }: Match,
  isHosted: boolean,
  asked: Publication | undefined,
): ChangesetFacts {
  const before = {
    made: changeset?.made ?? null,
    publication: changeset?.publication ?? 'unpublished',
    externalState: changeset?.externalState ?? null,
    asked: asked ?? changeset?.asked ?? null,
    isHosted,
    // Whatever users have asked for beside, applying neither does nor undoes.
    ...{ comments: [], merging: null, onlyAsked: false },
  } as const;
  if (spec) return { ...before, wanted: spec.wanted, closing: false, archiving: false, detaching: false };
  const isVisible = before.publication !== 'unpublished';
  // A changeset that was made elsewhere is let go, and stays as it is.
  const isOurs = changeset.wanted?.kind !== 'existing';
  return {
    ...before,
    ...{
      wanted: null,
      closing: isVisible && isOurs,
      archiving: isVisible && isOurs,
      detaching: !isVisible || !isOurs,
    },
  };
}
