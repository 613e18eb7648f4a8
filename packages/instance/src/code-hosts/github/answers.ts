import * as z from 'zod';

/** What is read of a pull request, alone or in a list. */
export const pullSchema = z.object({
  number: z.int(),
  node_id: z.string(),
  html_url: z.string(),
  state: z.enum(['open', 'closed']),
  draft: z.boolean().optional(),
  merged_at: z.string().nullable(),
  title: z.string(),
  body: z.string().nullable(),
  base: z.object({ ref: z.string() }),
  head: z.object({ ref: z.string(), sha: z.string() }),
  requested_reviewers: z.array(z.unknown()).nullish(),
  requested_teams: z.array(z.unknown()).nullish(),
});
export type Pull = z.infer<typeof pullSchema>;

export const pullsSchema = z.array(pullSchema);

export const reviewsSchema = z.array(
  z.object({ user: z.object({ id: z.int() }).nullable(), state: z.string() }),
);
export type Review = z.infer<typeof reviewsSchema>[number];

export const checkRunsSchema = z.object({
  total_count: z.int(),
  check_runs: z.array(z.object({ status: z.string(), conclusion: z.string().nullable() })),
});
export type CheckRun = z.infer<typeof checkRunsSchema>['check_runs'][number];

export const combinedStatusSchema = z.object({ state: z.string(), total_count: z.int() });
export type CombinedStatus = z.infer<typeof combinedStatusSchema>;

/** Whether a pull request can be merged; null: GitHub is finding out. */
export const mergeableSchema = z.object({ mergeable: z.boolean().nullable() });

export const mergedSchema = z.object({ merged: z.boolean() });

export const commentSchema = z.object({ body: z.string().optional() });
export const commentsSchema = z.array(commentSchema);

export const repositorySchema = z.object({ full_name: z.string() });

/** The answer to the mutation that makes a draft ready for review. */
export const readySchema = z.object({
  data: z
    .object({
      markPullRequestReadyForReview: z.object({ pullRequest: z.object({ isDraft: z.boolean() }) }).nullable(),
    })
    .nullish(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});
