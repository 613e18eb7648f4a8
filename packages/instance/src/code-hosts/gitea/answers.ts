import * as z from 'zod';

const branchSchema = z.object({
  /** The name of the branch, as long as the pull request is there. */
  label: z.string(),
  sha: z.string(),
});

/** What is read of a pull request, alone or in a list. */
export const pullSchema = z.object({
  number: z.int(),
  html_url: z.string(),
  state: z.enum(['open', 'closed']),
  draft: z.boolean(),
  merged: z.boolean(),
  title: z.string(),
  body: z.string(),
  base: branchSchema,
  /** Without a repository: it was removed. */
  head: branchSchema.extend({ repo: z.object({ full_name: z.string() }).nullish() }),
});
export type Pull = z.infer<typeof pullSchema>;

export const pullsSchema = z.array(pullSchema);

export const reviewsSchema = z.array(
  z.object({
    /** Null: a team was asked. */
    user: z.object({ id: z.int() }).nullable(),
    state: z.string(),
    dismissed: z.boolean(),
  }),
);
export type Review = z.infer<typeof reviewsSchema>[number];

export const combinedStatusSchema = z.object({ state: z.string(), total_count: z.int() });
export type CombinedStatus = z.infer<typeof combinedStatusSchema>;

export const commentSchema = z.object({ body: z.string() });
export const commentsSchema = z.array(commentSchema);

/** That of a merge, which has no body. */
export const emptySchema = z.undefined();

export const repositorySchema = z.object({ full_name: z.string() });
export const forkSchema = z.object({
  full_name: z.string(),
  empty: z.boolean(),
  /** What it was forked of. */
  parent: z.object({ full_name: z.string() }).nullish(),
});
export const userSchema = z.object({ login: z.string() });
