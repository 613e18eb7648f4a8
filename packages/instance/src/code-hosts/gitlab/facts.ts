import type { RemoteChangeset } from '../code-host.ts';
import { reviewOf, type Verdict } from '../facts.ts';
import type { DraftTitles } from '../title.ts';
import type { Approvals, MergeRequest, Reviewer } from './answers.ts';

export const draftTitles: DraftTitles = { written: 'Draft: ', read: /^(?:draft:|\[draft\]|\(draft\))\s*/i };

/** Returns the state of a merge request: it is `locked` while GitLab merges it. */
export function stateOf({ state, draft }: Pick<MergeRequest, 'state' | 'draft'>): RemoteChangeset['state'] {
  if (state === 'merged' || state === 'closed') return state;
  return draft ? 'draft' : 'open';
}

const verdicts: Readonly<Record<string, Verdict>> = {
  approved: 'approved',
  requested_changes: 'changes_requested',
};

/** Returns what the reviewers of a merge request come to, and those who have approved it without being asked. */
export function gitlabReview(
  reviewers: readonly Reviewer[],
  { approved_by }: Approvals,
): RemoteChangeset['review'] {
  const approved = (approved_by ?? []).map(() => 'approved' as const);
  return reviewOf([...approved, ...reviewers.map(({ state }) => verdicts[state] ?? 'pending')]);
}

const passed = ['success', 'skipped'];
const failed = ['failed', 'canceled', 'canceling'];

/** Returns what the pipeline of a merge request comes to. One that waits for somebody to start a job is not at its end. */
export function gitlabChecks({
  head_pipeline,
}: Pick<MergeRequest, 'head_pipeline'>): RemoteChangeset['checks'] {
  if (!head_pipeline) return null;
  if (passed.includes(head_pipeline.status)) return 'passed';
  return failed.includes(head_pipeline.status) ? 'failed' : 'pending';
}
