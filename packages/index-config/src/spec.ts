import * as z from 'zod';

/** A path below the root of a repository, in its normal form; the empty text is the root itself. */
const directorySchema = z
  .string()
  .max(4_096)
  .transform((path) => path.replace(/^(?:\.\/)+|^\.$|\/+$/g, ''))
  .refine(
    (path) => path === '' || path.split('/').every((part) => !['', '.', '..', '.git'].includes(part)),
    'must be a path below the root of the repository, without `..`',
  )
  .refine((path) => !/\p{Cc}/u.test(path), 'must have no control characters');

const command = z
  .string()
  .max(65_536)
  .refine((text) => !text.includes('\0'), 'must have no NUL');
const image = z
  .string()
  .min(1)
  .max(1_024)
  .regex(/^[^\s\0]+$/, 'must be the name of a container image');

const stepSchema = z.strictObject({
  root: directorySchema.default(''),
  image,
  commands: z.array(command).max(100).default([]),
});

/**
 * An indexing job as a repository or an admin describes it: the document of upstream's `sourcegraph.yaml`, whose names of fields it keeps.
 * `steps` run before the indexer, each in a container image of its own; `local_steps` run in the indexer's container, in the same shell.
 */
export const indexJobSpecSchema = z.strictObject({
  steps: z.array(stepSchema).max(50).default([]),
  local_steps: z.array(command).max(100).default([]),
  /** The directory in which local steps and the indexer run, and below which the index is found. */
  root: directorySchema.default(''),
  indexer: image,
  /** The whole command line: images of indexers have no entrypoint. */
  indexer_args: z.array(command).max(1_000).default([]),
  /** Where the indexer leaves its index, below `root`. */
  outfile: directorySchema.transform((path) => (path === '' ? 'index.scip' : path)).default('index.scip'),
  /** Names of secrets that the steps and the indexer get as environment variables. */
  requestedEnvVars: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/))
    .max(64)
    .default([]),
});
export type IndexJobSpec = z.output<typeof indexJobSpecSchema>;

export const indexConfigSchema = z.strictObject({
  index_jobs: z.array(indexJobSpecSchema).max(1_000).default([]),
});

/** An indexing job, and why it is there. */
export interface PlannedJob {
  readonly spec: IndexJobSpec;
  readonly reason: string;
}
