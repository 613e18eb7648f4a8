import * as z from 'zod';
import { brokerNameSchema, jobBrokerMax } from '../broker.ts';
import { askedEgressSchema } from '../egress-policy.ts';
import { imageSchema } from '../kinds.ts';
import { tierSchema } from '../tier.ts';
import { isStorable } from '../text.ts';
import { commitSchema, jobSecretsMax, secretNameSchema } from '../values.ts';
import { revisionSchema } from './code.ts';
import { uploadRecordSchema } from './codeintel.ts';
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

/** What index jobs get. A field that is missing is as in other jobs of the queue. */
const indexJobOptions = {
  cpus: jobOptions.cpus.unwrap().optional(),
  memoryMiB: jobOptions.memoryMiB.unwrap().optional(),
  scratchMiB: jobOptions.scratchMiB.unwrap().optional(),
  deadlineMs: jobOptions.deadlineMs.unwrap().optional(),
  /** What they may reach over the network. */
  network: askedEgressSchema.optional(),
  /** Names of entries of the broker. Missing: all that are for the queue and the repository, if the jobs have a network. */
  broker: z.array(brokerNameSchema).max(jobBrokerMax).optional(),
};

/** `PUT /api/index-settings/{name}`: 200 with the settings, which take the place of earlier ones. `DELETE`: 204. */
export const setIndexSettingsSchema = z.strictObject({
  ...indexJobOptions,
  /** The secrets that a configuration in a commit, or an inferred job, may ask for with `requestedEnvVars`. */
  secrets: z.array(secretNameSchema).max(jobSecretsMax).optional(),
});
export type SetIndexSettings = z.input<typeof setIndexSettingsSchema>;

/** `GET /api/index-settings/{name}`: what an admin has set for the index jobs of a repository. */
export const indexSettingsSchema = z.object({
  repository: storedRepositorySchema,
  settings: setIndexSettingsSchema,
  /** The name of the user who set them. */
  setBy: z.string(),
  setAt: z.string(),
});
export type IndexSettings = z.infer<typeof indexSettingsSchema>;

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
  /** Each of these goes before the setting of the repository. */
  ...indexJobOptions,
});
export type CreateIndexing = z.input<typeof createIndexingSchema>;

/** The answer: 200. */
export const indexingSchema = z.object({
  repository: storedRepositorySchema,
  commit: commitSchema,
  /** Where the jobs are described: `instance`, the path of a file of the commit, or `inferred`. */
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

/** `PUT /api/index-configs/{name}`: 200 with the configuration. It counts before any file in a commit. `DELETE`: 204. */
export const setIndexConfigSchema = z.strictObject({
  /** YAML or JSON, as in `fumehood.yaml`. */
  text: z.string().max(262_144).refine(isStorable, 'must have no NUL and no half of a surrogate pair'),
});

/** `GET /api/index-configs/{name}`. */
export const indexConfigSchema = z.object({
  repository: storedRepositorySchema,
  text: z.string(),
  /** The name of the user who stored it. */
  setBy: z.string(),
  setAt: z.string(),
});
export type IndexConfig = z.infer<typeof indexConfigSchema>;

/** A pattern in which `*` stands for any text. */
const pattern = z.string().min(1).max(400);

/** `PUT /api/index-policies/{name}`: 200 with the policy. It says which commits of mirrored repositories are indexed after a sync. */
export const setIndexPolicySchema = z.strictObject({
  /** The names of the repositories. */
  repositories: pattern.default('*'),
  kind: z.enum(['branch', 'tag']).default('branch'),
  /** The names of branches or tags, without `refs/…/`; null: the default branch, or all tags. */
  pattern: pattern.nullable().default(null),
  /** Commits that are older are left out; null: none is. */
  maxAgeSeconds: z.int().min(60).max(1_000_000_000).nullable().default(null),
  /** The least time between two commits of one repository that this policy has indexed. */
  pauseSeconds: z.int().min(0).max(31_536_000).default(0),
  accept: jobOptions.accept,
});
export type SetIndexPolicy = z.input<typeof setIndexPolicySchema>;

/** `GET /api/index-policies`. */
export const indexPolicySchema = z.object({
  name: z.string(),
  tenant: z.string(),
  repositories: z.string(),
  kind: z.enum(['branch', 'tag']),
  pattern: z.string().nullable(),
  maxAgeSeconds: z.int().nullable(),
  pauseSeconds: z.int(),
  accept: z.array(tierSchema),
  createdAt: z.string(),
});
export type IndexPolicy = z.infer<typeof indexPolicySchema>;
export const indexPoliciesSchema = z.object({ policies: z.array(indexPolicySchema) });

/**
 * `GET /api/indexings?repository=`: what answers for the default branch of a repository, and what was decided of its latest commits and became of
 * it, newest first.
 */
export const indexStatusSchema = z.object({
  repository: storedRepositorySchema,
  /** The tip of the default branch; null: it has none. */
  tip: commitSchema.nullable(),
  /** The policies that name the repository. */
  policies: z.array(z.string()),
  /** For each directory and indexer the index that is the nearest to the tip, else the latest one. */
  indexes: z.array(
    uploadRecordSchema.omit({ repository: true }).extend({
      /** How many commits of the default branch are not in the history of the index's commit: 1,000 stands for more. Null: nobody knows. */
      behind: z.int().nullable(),
    }),
  ),
  commits: z.array(
    z.object({
      commit: commitSchema,
      plannedAt: z.string(),
      policy: z.string().nullable(),
      source: z.string().nullable(),
      notes: z.array(z.string()),
      failure: z.string().nullable(),
      jobs: z.array(
        z.object({
          id: z.int(),
          state: z.string(),
          root: z.string(),
          indexer: z.string(),
          /** The index that it left; null: none, or a later one took its place. */
          uploadId: z.int().nullable(),
          documents: z.int().nullable(),
          /** The reason for which it failed, such as `step_failed`; null: it did not. Its message and its output are its user's. */
          failure: z.string().nullable(),
        }),
      ),
    }),
  ),
});
export type IndexStatus = z.infer<typeof indexStatusSchema>;
export const indexStatusQuerySchema = z.object({ repository: storedRepositorySchema });
