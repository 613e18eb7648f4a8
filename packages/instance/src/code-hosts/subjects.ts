import * as z from 'zod';
import type { Subjects } from './sync-records.ts';

const number = z.int().positive();
const commit = z.string().regex(/^[0-9a-f]{40}$/);
const checked = z.object({
  head_sha: commit.optional().catch(undefined),
  pull_requests: z.array(z.object({ number })).max(100).catch([]),
});

/** What may be in the body of a delivery. Of whatever is not so, nothing is read. */
const bodySchema = z.object({
  // GitHub and Gitea: pull requests and their reviews, the runs of checks and workflows, and statuses.
  pull_request: z.object({ number }).optional().catch(undefined),
  check_run: checked.optional().catch(undefined),
  check_suite: checked.optional().catch(undefined),
  workflow_run: checked.optional().catch(undefined),
  sha: commit.optional().catch(undefined),
  // GitLab: merge requests and pipelines.
  object_kind: z.string().optional().catch(undefined),
  object_attributes: z
    .object({ iid: number.optional().catch(undefined), sha: commit.optional().catch(undefined) })
    .optional()
    .catch(undefined),
  merge_request: z.object({ iid: number }).nullish().catch(undefined),
});

/**
 * Returns the changesets and commits that a delivery of a code host is about; none if its body says nothing of any. All that may come of it
 * is that their states are read: from the host, never from the body.
 */
export function subjectsOf(body: Buffer): Subjects {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    return { externalIds: [], commits: [] };
  }
  const { success, data } = bodySchema.safeParse(json);
  if (!success) return { externalIds: [], commits: [] };
  const { pull_request, check_run, check_suite, workflow_run, sha, object_kind } = data;
  const { object_attributes, merge_request } = data;
  const runs = [check_run, check_suite, workflow_run].filter((one) => one !== undefined);
  const numbers = [
    pull_request?.number,
    ...runs.flatMap(({ pull_requests }) => pull_requests.map((one) => one.number)),
    object_kind === 'merge_request' ? object_attributes?.iid : undefined,
    merge_request?.iid,
  ];
  const commits = [sha, ...runs.map(({ head_sha }) => head_sha), object_attributes?.sha];
  return {
    externalIds: [...new Set(numbers.filter((one) => one !== undefined).map(String))],
    commits: [...new Set(commits.filter((one) => one !== undefined))],
  };
}
