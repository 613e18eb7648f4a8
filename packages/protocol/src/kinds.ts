import * as z from 'zod';
import { jobOptions } from './api/job-options.ts';
import type { Scope } from './api/scopes.ts';
import { brokerNameSchema, jobBrokerMax } from './broker.ts';
import { askedEgressSchema, defaultEgress } from './egress-policy.ts';
import { checkCommand } from './command-limits.ts';
import { terminalSizeSchema } from './terminal.ts';
import {
  artifactPathsSchema,
  commitSchema,
  digestSchema,
  imageReferenceSchema,
  anyRelativePathSchema,
  jobSecretsMax,
  repositoryNameSchema,
  secretNameSchema,
} from './values.ts';

/** The part of a kind of job that both sides know. */
interface JobKind {
  /** The request for a job of this kind, with its defaults. Null: the instance alone makes such jobs. */
  readonly request: z.ZodObject<{ readonly queue: z.ZodLiteral<string> }> | null;
  /** The scopes that an access token needs for a job of this kind, besides `jobs:write`. */
  readonly scopes: readonly Scope[];
}

/** The workspace of a run. */
const runWorkspaceSchema = z.union(
  [
    /** A tar archive of the workspace that was put on the instance (`PUT /api/blobs/{digest}`). */
    z.strictObject({ archive: digestSchema }),
    /** One commit of a repository of the instance. */
    z.strictObject({ repository: repositoryNameSchema, commit: commitSchema }),
  ],
  { error: 'is either {archive: "sha256:<digest>"} or {repository, commit: "<40 hexadecimal digits>"}' },
);

/** The workspace of a run; null: it has none. */
export type RunWorkspace = z.output<typeof runWorkspaceSchema> | null;

const indexerName = z.string().max(100);

/** As `imageSchema`, with the fault of a reference as the message: a union inside of a union would hide it. */
const anyImageSchema = z.string().superRefine((image, context) => {
  if (digestSchema.safeParse(image).success) return;
  const { error } = imageReferenceSchema.safeParse(image);
  for (const { message } of error?.issues ?? []) context.addIssue({ code: 'custom', message });
});

/** The digest of an image archive, or a reference to an image of a registry. */
export const imageSchema = z.union([digestSchema, imageReferenceSchema], {
  error:
    'is either the digest of an image archive, `sha256:<digest>`, or a reference to an image of a registry',
});

/**
 * The kinds of job, each with a queue of the same name. Queue names, `POST /api/jobs`, its scopes and the routes of the queues follow
 * from this table; `instance/src/kinds` has a file for each kind. Executors lease from all queues by default.
 */
export const jobKinds = {
  /** An indexer runs on a commit, and the index that it leaves is stored. */
  codeintel: {
    request: z.object({
      queue: z.literal('codeintel'),
      /** A repository and a commit that were put on the instance (`POST /api/repositories/{name}/pack`). */
      repository: repositoryNameSchema.regex(
        /^(?!pkg:)/,
        'must be no package: the instance itself has packages indexed',
      ),
      commit: commitSchema,
      root: anyRelativePathSchema.default(''),
      /** What runs before the indexer, one after the other, in the same workspace: it installs dependencies, for example. */
      steps: z
        .array(
          z.strictObject({
            image: imageSchema,
            /** Lines of a `/bin/sh` script that runs instead of the image's entrypoint. */
            commands: z
              .array(z.string().regex(/^[^\0]*$/, 'must not hold a NUL'))
              .min(1)
              .max(256),
            /** The directory in which they run. */
            root: anyRelativePathSchema.default(''),
          }),
        )
        .max(50)
        .default([]),
      indexer: z
        .union(
          [
            z.strictObject({
              name: indexerName,
              /** An image archive that was put on the instance, which this instance's own executors run. */
              image: digestSchema,
              argv: z.array(z.string()).max(256),
            }),
            z.strictObject({
              name: indexerName,
              /** With an image of a registry and `accept` `['container']`, executors of upstream's kind get the job too, which name no tier. */
              image: anyImageSchema,
              /** Lines of a `/bin/sh` script that runs instead of the image's entrypoint. */
              commands: z.array(z.string()).min(1).max(256),
            }),
          ],
          {
            error:
              'is either {name, image: "sha256:<digest>", argv} or {name, image: "sha256:<digest>" or "<reference to a registry>", commands}',
          },
        )
        // Behind the union, so that the fault is said and not that no form fits.
        .superRefine(checkCommand),
      /** Where the indexer leaves its index, below `root`. */
      outfile: anyRelativePathSchema.default('index.scip'),
      /** What the indexer may reach over the network. */
      network: askedEgressSchema.default(defaultEgress.codeintel),
      /** Names of entries of the broker, which the steps can use whatever they may reach; missing: all that are for the queue and the repository, if there is a network. */
      broker: z.array(brokerNameSchema).max(jobBrokerMax).optional(),
      /** Names of secrets of the tenant. The steps and the indexer have each as a variable of this name. */
      secrets: z.array(secretNameSchema).max(jobSecretsMax).default([]),
      ...jobOptions,
    }),
    // Whoever names the command of a job can have it print the code of the job's repository.
    scopes: ['code:read', 'code:write'],
  },
  /** The steps of a batch spec run on a commit: the instance makes a job for each workspace of the spec. */
  batches: { request: null, scopes: ['code:read', 'code:write'] },
  /** One command in one image. */
  runs: {
    request: z
      .object({
        queue: z.literal('runs'),
        /** An image archive that was put on the instance (`PUT /api/blobs/{digest}`), or an image of a registry. */
        image: imageSchema,
        argv: z.array(z.string()),
        env: z.array(z.string().regex(/^[^=\0]+=[^\0]*$/)).default([]),
        /** Names of secrets of the tenant. The step has each as a variable of this name, which goes before one of `env`. */
        secrets: z.array(secretNameSchema).max(jobSecretsMax).default([]),
        stdin: z.boolean().default(false),
        /** What the command finds in its working directory; null: it starts in the directory that its image names. */
        workspace: runWorkspaceSchema.nullable().default(null),
        /** Files and directories below the workspace that the instance gets when the command has ended (`GET /api/jobs/{id}/artifacts`). */
        artifacts: artifactPathsSchema.default([]),
        /** The command has a terminal of this size, and its stdin comes in frames (`terminal.ts`). Missing: neither. */
        terminal: terminalSizeSchema.optional(),
        /** What the command may reach over the network. */
        network: askedEgressSchema.default(defaultEgress.runs),
        /** Names of entries of the broker, which the command can use whatever it may reach. */
        broker: z.array(brokerNameSchema).max(jobBrokerMax).default([]),
        ...jobOptions,
      })
      .superRefine(checkCommand),
    scopes: [],
  },
} as const satisfies Readonly<Record<string, JobKind>>;

type JobKinds = typeof jobKinds;

/** Returns the scopes that an access token needs to create a job, besides `jobs:write`. */
export function scopesOf(job: z.output<typeof createJobSchema>): readonly Scope[] {
  const { scopes } = jobKinds[job.queue];
  const readsCode = job.queue === 'runs' && job.workspace !== null && 'repository' in job.workspace;
  // Whoever names the command of a job can have it print the code of the job's repository.
  return readsCode ? [...scopes, 'code:read'] : scopes;
}

export type QueueName = keyof JobKinds;
export const queueNameSchema = z.enum(Object.keys(jobKinds) as [QueueName, ...QueueName[]]);

/** A queue for whose jobs there is a request. */
type RequestedQueue = { [Q in QueueName]: JobKinds[Q]['request'] extends null ? never : Q }[QueueName];
type RequestSchema = JobKinds[RequestedQueue]['request'];
const requests = Object.values(jobKinds)
  .map(({ request }) => request)
  .filter((request) => request !== null);

/** `POST /api/jobs`: 201 with a job record. */
export const createJobSchema = z.discriminatedUnion('queue', requests as [RequestSchema, ...RequestSchema[]]);
export type CreateJob = z.input<typeof createJobSchema>;
