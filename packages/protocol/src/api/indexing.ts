import * as z from 'zod';
import { imageSchema } from '../kinds.ts';
import { commitSchema } from '../values.ts';
import { revisionSchema } from './code.ts';
import { jobOptions } from './job-options.ts';
import { storedRepositorySchema } from './repositories.ts';

/** Languages whose indexing jobs are inferred. */
export const indexLanguageSchema = z.enum(['go', 'java', 'python', 'ruby', 'rust', 'typescript', 'dotnet']);
export type IndexLanguage = z.infer<typeof indexLanguageSchema>;

/** `GET /api/indexers`: the container image of each language's indexer. */
export const indexersSchema = z.object({
  indexers: z.array(z.object({ language: indexLanguageSchema, image: z.string(), isDefault: z.boolean() })),
});
export type Indexers = z.infer<typeof indexersSchema>['indexers'];

/** `PUT /api/indexers/{language}`: 204. `DELETE /api/indexers/{language}`: 204; the default counts again. */
export const setIndexerSchema = z.strictObject({ image: imageSchema });

/** `POST /api/indexings`: has a commit indexed, or says what that would be. */
export const createIndexingSchema = z.strictObject({
  repository: storedRepositorySchema,
  /** Missing: the default branch. */
  revision: revisionSchema.optional(),
  /** Makes no jobs. */
  dryRun: z.boolean().default(false),
  /** Also indexes what was indexed, or is about to be. */
  force: z.boolean().default(false),
  accept: jobOptions.accept,
});
export type CreateIndexing = z.input<typeof createIndexingSchema>;

/** The answer: 200. */
export const indexingSchema = z.object({
  repository: storedRepositorySchema,
  commit: commitSchema,
  /** Where the jobs are described: the path of a file of the commit, or `inferred`. */
  source: z.string(),
  jobs: z.array(
    z.object({
      root: z.string(),
      indexer: z.string(),
      /** The lines of the script that indexes, and the scripts that run before it. */
      commands: z.array(z.string()),
      steps: z.array(z.object({ root: z.string(), image: z.string(), commands: z.array(z.string()) })),
      reason: z.string(),
      /** The job that indexes it; null for a dry run that would make one. */
      jobId: z.int().nullable(),
      /** Whether the job was there before. */
      isEarlier: z.boolean(),
    }),
  ),
  /** What was left out, and what has to be configured by hand. */
  notes: z.array(z.string()),
});
export type Indexing = z.infer<typeof indexingSchema>;
