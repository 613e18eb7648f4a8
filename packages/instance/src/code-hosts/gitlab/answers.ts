import * as z from 'zod';

/** What is read of a merge request, alone or in a list. */
const mergeRequest = {
  iid: z.int(),
  web_url: z.string(),
  state: z.enum(['opened', 'closed', 'merged', 'locked']),
  draft: z.boolean(),
  title: z.string(),
  description: z.string().nullable(),
  target_branch: z.string(),
  source_branch: z.string(),
  /** Null: the branch has no commits that the target lacks. */
  sha: z.string().nullable(),
};

/** A merge request alone, with the pipeline of its last commit. */
export const mergeRequestSchema = z.object({
  ...mergeRequest,
  head_pipeline: z.object({ status: z.string() }).nullish(),
});
export type MergeRequest = z.infer<typeof mergeRequestSchema>;

export const mergeRequestsSchema = z.array(z.object({ iid: mergeRequest.iid, source_project_id: z.int() }));

export const reviewersSchema = z.array(z.object({ state: z.string() }));
export type Reviewer = z.infer<typeof reviewersSchema>[number];

export const approvalsSchema = z.object({ approved_by: z.array(z.unknown()).nullish() });
export type Approvals = z.infer<typeof approvalsSchema>;

/** Whether a merge request can be merged, in one of many words. */
export const mergeStatusSchema = z.object({ detailed_merge_status: z.string() });

export const noteSchema = z.object({ body: z.string() });
export const notesSchema = z.array(noteSchema);

export const projectSchema = z.object({ id: z.int() });
export const forkSchema = z.object({
  id: z.int(),
  path_with_namespace: z.string(),
  /** `none` and `finished`: it has the branches. */
  import_status: z.string(),
  forked_from_project: z.object({ id: z.int() }).nullish(),
});
export const userSchema = z.object({ username: z.string() });
