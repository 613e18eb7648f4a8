import * as z from 'zod';
import { brokerNameSchema, jobBrokerMax } from '../broker.ts';
import { askedEgressSchema, egressPolicySchema } from '../egress-policy.ts';
import { tierSchema } from '../tier.ts';
import { codePackageSchema } from './code.ts';
import { jobOptions } from './job-options.ts';
import { storedRepositorySchema } from './repositories.ts';

/** `PUT /api/dependency-indexing`: 200; each package that indexes name is indexed once from now on. `DELETE`: 204; no more are. */
export const setDependencyIndexingSchema = z.strictObject({
  accept: jobOptions.accept,
  /** What the jobs may reach: the registries of the packages. */
  network: askedEgressSchema.default({ mode: 'public' }),
  /** Names of entries of the broker; null: all that are for such jobs. */
  broker: z.array(brokerNameSchema).max(jobBrokerMax).nullable().default(null),
  /** Most jobs in 24 hours. */
  jobsADay: z.int().min(1).max(10_000).default(200),
});
export type SetDependencyIndexing = z.input<typeof setDependencyIndexingSchema>;

/** How dependencies are indexed. */
export const dependencyIndexingSchema = z.object({
  /** Whose jobs they are. */
  tenant: z.string(),
  accept: z.array(tierSchema),
  network: egressPolicySchema,
  broker: z.array(z.string()).nullable(),
  jobsADay: z.int(),
  setAt: z.string(),
});
export type DependencyIndexing = z.infer<typeof dependencyIndexingSchema>;

/** `GET /api/dependencies[?repository=]`: the packages that indexes of a repository name, or of all repositories; at most 1,000. */
export const dependenciesQuerySchema = z.object({ repository: storedRepositorySchema.optional() });
export const dependenciesSchema = z.object({
  /** Null: dependencies are not indexed. */
  indexing: dependencyIndexingSchema.nullable(),
  dependencies: z.array(
    codePackageSchema.extend({
      state: z.enum(['waiting', 'processing', 'indexed', 'failed']),
      /** The latest job for it. */
      jobId: z.int().nullable(),
      /** Its index. */
      upload: z.int().nullable(),
      /** Why it was not indexed. It is tried again after a day. */
      failure: z.string().nullable(),
    }),
  ),
});
export type Dependencies = z.infer<typeof dependenciesSchema>;
