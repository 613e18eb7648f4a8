import type { RemoteChangeset } from './code-host.ts';

/** What one reviewer says of a changeset at last. */
export type Verdict = 'approved' | 'changes_requested' | 'pending';

/** Returns what reviews come to: one reviewer who wants changes counts more than any who approve. */
export function reviewOf(verdicts: readonly Verdict[]): RemoteChangeset['review'] {
  const worst = (['changes_requested', 'approved', 'pending'] as const).find((one) => verdicts.includes(one));
  return worst ?? null;
}

/** Returns what checks come to: one that has failed counts more than any that still run. */
export function checksOf(
  checks: readonly NonNullable<RemoteChangeset['checks']>[],
): RemoteChangeset['checks'] {
  const worst = (['failed', 'pending', 'passed'] as const).find((one) => checks.includes(one));
  return worst ?? null;
}

/** A changeset that the host no longer has. */
export const deletedChangeset = (externalId: string): RemoteChangeset => ({
  ...{ externalId, url: '', state: 'deleted', title: '', body: '', base: '', head: '', headCommit: '' },
  ...{ review: null, checks: null },
});
