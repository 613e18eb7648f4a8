import {
  anyRelativePathSchema,
  batchStepsMax,
  batchVersion,
  egressPolicySchema,
  imageReferenceSchema,
  stopGraceSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import * as z from 'zod';
import { queueUnknown } from '../errors.ts';
import { type Demanding, demandOf, type NewJob, type QueueKind } from '../queue/kind.ts';
import type { KindStores } from './stores.ts';

/** The directory of the repository in the workspace of a job, as upstream's jobs have it. */
const repositoryDirectory = 'repository';

const payloadSchema = z.object({
  /** The image of each step of the spec. */
  images: z.array(imageReferenceSchema).min(1).max(batchStepsMax),
  /** The directory of the steps, from the root of the repository. */
  path: anyRelativePathSchema,
  onlyFetchWorkspace: z.boolean(),
  deadlineMs: z.int(),
  stopGraceMs: stopGraceSchema,
  inspect: z.boolean(),
  network: egressPolicySchema,
  broker: z.array(z.string()),
});

/** What a job of a batch change runs on, and its demands. */
export interface BatchJob extends Demanding {
  readonly repository: string;
  readonly commit: string;
  /** The image of each step of the spec, also of those that will not run: references to images of registries. */
  readonly images: readonly string[];
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  /** Wall time of all steps together, ms. */
  readonly deadlineMs: number;
  readonly stopGraceMs: number;
  readonly inspect: boolean;
  readonly maxResets: number;
  readonly maxRetries: number;
}

/** Returns the job of a workspace of a batch spec, for the queue `batches`. Errors: a ZodError for images that are none. */
export function newBatchJob(request: BatchJob): NewJob {
  const { repository, commit, deadlineMs, stopGraceMs, maxResets, maxRetries } = request;
  return {
    payload: payloadSchema.parse({ ...request, broker: request.broker ?? [] }),
    ...{ repository, commit, maxResets, maxRetries },
    demand: { ...demandOf(request, true), needsVersion: batchVersion },
    input: false,
    deadlineMs: deadlineMs + stopGraceMs,
  };
}

/** Returns the kind of the jobs of batch changes, whose executors ask for one step after the other. */
export function batchesKind({ batches: { next, ended } }: Pick<KindStores, 'batches'>): QueueKind<'batches'> {
  return {
    name: 'batches',
    // There is no request for such a job (`createJobSchema`): `newBatchJob` makes it.
    create: () => Promise.reject(queueUnknown('batches')),
    broker: (job) => payloadSchema.parse(job.payload).broker,
    content(job) {
      const { images, path, onlyFetchWorkspace, deadlineMs, stopGraceMs, inspect, network } =
        payloadSchema.parse(job.payload);
      const dir = path === '' ? repositoryDirectory : `${repositoryDirectory}/${path}`;
      return {
        repositoryDirectory,
        fetchTags: false,
        shallowClone: true,
        sparseCheckout: onlyFetchWorkspace && path !== '' ? [`${path}/*`] : null,
        files: {},
        dockerSteps: images.map((image, step) => ({
          key: `step.${step}`,
          image,
          commands: [],
          dir,
          env: [],
        })),
        cliSteps: null,
        redactedValues: null,
        fumehood: {
          ...{ deadlineMs, stopGraceMs, inspect, network },
          ...{ stdin: false, upload: null, workspace: null, artifacts: [], batch: true },
        },
      };
    },
    ended,
    steps: {
      next,
      async hasNamed(db, { id, tenant }, digest) {
        const { rows } = await sql<{ named: boolean }>`
          select exists (
            select from batch_files file join batch_workspaces workspace using (spec_id)
            where workspace.job_id = ${id} and file.digest = ${digest}
          ) or exists (
            select from batch_step_results where creator = ${tenant} and diff = ${digest}
          ) as named
        `.execute(db);
        return rows[0]?.named ?? false;
      },
    },
  };
}
