import type { RemoteChangeset } from '../code-host.ts';
import { checksOf, reviewOf, type Verdict } from '../facts.ts';
import type { CheckRun, CombinedStatus, Pull, Review } from './answers.ts';

/** Returns the state of a pull request. */
export function stateOf({ state, draft = false, merged_at }: Pull): RemoteChangeset['state'] {
  if (merged_at !== null) return 'merged';
  if (state === 'closed') return 'closed';
  return draft ? 'draft' : 'open';
}

const verdicts: Readonly<Record<string, Verdict>> = {
  APPROVED: 'approved',
  CHANGES_REQUESTED: 'changes_requested',
};

/** Returns what the reviews of a pull request, oldest first, come to. A comment leaves the reviewer's verdict as it was. */
export function githubReview(
  { requested_reviewers, requested_teams }: Pick<Pull, 'requested_reviewers' | 'requested_teams'>,
  reviews: readonly Review[],
): RemoteChangeset['review'] {
  const last = new Map<number, Verdict | undefined>();
  for (const { user, state } of reviews)
    if (user !== null && (state in verdicts || state === 'DISMISSED')) last.set(user.id, verdicts[state]);
  const asked = (requested_reviewers?.length ?? 0) + (requested_teams?.length ?? 0) > 0;
  return reviewOf([
    ...[...last.values()].filter((one) => one !== undefined),
    ...(asked ? ['pending' as const] : []),
  ]);
}

const passing: readonly (string | null)[] = ['success', 'neutral', 'skipped'];

/** Returns what the checks of a commit come to: the runs of apps, and the statuses that others have set. */
export function githubChecks(runs: readonly CheckRun[], statuses: CombinedStatus): RemoteChangeset['checks'] {
  const ofRuns = runs.map(({ status, conclusion }) => {
    if (status !== 'completed') return 'pending';
    return passing.includes(conclusion) ? 'passed' : 'failed';
  });
  const ofStatus = { success: 'passed', pending: 'pending' } as const;
  const ofStatuses = statuses.total_count === 0 ? [] : [ofStatus[statuses.state as 'success'] ?? 'failed'];
  return checksOf([...ofRuns, ...ofStatuses]);
}
