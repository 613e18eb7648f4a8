import type { RemoteChangeset } from '../code-host.ts';
import { reviewOf, type Verdict } from '../facts.ts';
import type { DraftTitles } from '../title.ts';
import type { CombinedStatus, Pull, Review } from './answers.ts';

/** The words of Gitea's settings as they come. */
export const draftTitles: DraftTitles = { written: 'WIP: ', read: /^(?:WIP:|\[WIP\])\s*/i };

/** Returns the state of a pull request. */
export function stateOf({ state, draft, merged }: Pull): RemoteChangeset['state'] {
  if (merged) return 'merged';
  if (state === 'closed') return 'closed';
  return draft ? 'draft' : 'open';
}

const verdicts: Readonly<Record<string, Verdict>> = {
  APPROVED: 'approved',
  REQUEST_CHANGES: 'changes_requested',
  REQUEST_REVIEW: 'pending',
};

/** Returns what the reviews of a pull request, oldest first, come to. A comment leaves the reviewer's verdict as it was. */
export function giteaReview(reviews: readonly Review[]): RemoteChangeset['review'] {
  const last = new Map<number | null, Verdict | undefined>();
  for (const { user, state, dismissed } of reviews)
    if (state in verdicts) last.set(user?.id ?? null, dismissed ? undefined : verdicts[state]);
  return reviewOf([...last.values()].filter((one) => one !== undefined));
}

/** Returns what the statuses of a commit come to. */
export function giteaChecks({ state, total_count }: CombinedStatus): RemoteChangeset['checks'] {
  if (total_count === 0) return null;
  if (state === 'pending') return 'pending';
  return state === 'success' || state === 'skipped' ? 'passed' : 'failed';
}
