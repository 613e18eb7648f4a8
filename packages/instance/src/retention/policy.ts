import * as z from 'zod';

/** How long things of one kind are kept, and how much of them. */
const kindSchema = z
  .strictObject({
    /** Days since the end of a job, the upload of an index, or the last use of an image or a commit. */
    days: z.number().positive().max(36_500).default(30),
    /** All of the kind together; above it the oldest are removed. Null: a tenth of the disk. */
    maxMiB: z.int().positive().nullable().default(null),
  })
  .prefault({});
export type KindPolicy = z.output<typeof kindSchema>;

/** What the instance removes by itself. Nothing is removed that a job needs which has not ended. */
export const retentionSchema = z
  .strictObject({
    /** Jobs that have ended, with their attempts, their output and their input. */
    jobs: kindSchema,
    /** Image archives. */
    images: kindSchema,
    /** Commits of repositories. */
    commits: kindSchema,
    /** Indexes that no branch or tag needs. */
    indexes: kindSchema,
  })
  .prefault({});
