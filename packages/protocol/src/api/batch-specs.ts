import * as z from 'zod';
import { brokerNameSchema, jobBrokerMax } from '../broker.ts';
import { labelsSchema } from '../capability.ts';
import { askedEgressSchema, defaultEgress } from '../egress-policy.ts';
import { isStorable } from '../text.ts';
import { tierSchema } from '../tier.ts';
import {
  digestSchema,
  imageReferenceSchema,
  momentSchema,
  numberInText,
  relativePathSchema,
} from '../values.ts';
import { jobOptions } from './job-options.ts';
import { namespaceSchema } from './organisations.ts';

/** The name by which clients know a batch spec, a workspace, a changeset spec, a batch change or a changeset. */
export const batchIdSchema = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'must be an id of 32 lower-case hexadecimal digits');

/** Longest batch spec, bytes. */
export const batchSpecBytesMax = 1_048_576;
/** Largest diff that the answer for a workspace has, bytes. */
export const shownDiffBytesMax = 1_048_576;
/** Largest file that the steps of a batch spec mount, bytes: 10 MiB. */
export const batchFileBytesMax = 10 * 2 ** 20;

/** What the jobs of a batch spec get. A field that is missing is that of `GET /api/batch-settings`, or else that of other jobs. */
export const batchOptionsSchema = z.strictObject({
  accept: z.array(tierSchema).min(1).optional(),
  cpus: jobOptions.cpus.unwrap().optional(),
  memoryMiB: jobOptions.memoryMiB.unwrap().optional(),
  scratchMiB: jobOptions.scratchMiB.unwrap().optional(),
  deadlineMs: jobOptions.deadlineMs.unwrap().optional(),
  labels: labelsSchema.optional(),
  /** What the steps may reach over the network. Missing: nothing. */
  network: askedEgressSchema.optional(),
  /** Names of entries of the broker. */
  broker: z.array(brokerNameSchema).max(jobBrokerMax).optional(),
});
export type BatchOptions = z.output<typeof batchOptionsSchema>;
/** What the jobs of a batch spec get, with the defaults of what is missing. */
export const wholeBatchOptionsSchema = z.object({
  ...jobOptions,
  network: askedEgressSchema.default(defaultEgress.batches),
  broker: z.array(brokerNameSchema).max(jobBrokerMax).default([]),
});

/** `PUT /api/batch-settings`: 200 with the settings, which take the place of earlier ones. `DELETE`: 204. */
export const setBatchSettingsSchema = z.strictObject({
  ...batchOptionsSchema.shape,
  /** The image of upstream's helper, with which its executors run each step in containers of its own; null: they run `src batch exec`. */
  helperImage: imageReferenceSchema.nullable().default(null),
});
export type SetBatchSettings = z.input<typeof setBatchSettingsSchema>;

export const batchSettingsSchema = z.object({
  options: batchOptionsSchema,
  helperImage: z.string().nullable(),
  /** The name of the user who set them; null: nobody has. */
  setBy: z.string().nullable(),
  setAt: z.string().nullable(),
});
export type BatchSettings = z.infer<typeof batchSettingsSchema>;

export const workspaceStateSchema = z.enum([
  'skipped',
  'pending',
  'queued',
  'processing',
  'completed',
  'failed',
  'canceled',
]);
export type WorkspaceState = z.infer<typeof workspaceStateSchema>;

/**
 * What becomes of a batch spec. `pending`: its workspaces are being found, or nobody has asked for its execution yet. `completed`: its
 * changesets can be previewed and applied.
 */
export const batchSpecStateSchema = z.enum([
  'pending',
  'queued',
  'processing',
  'completed',
  'failed',
  'canceling',
  'canceled',
]);
export type BatchSpecState = z.infer<typeof batchSpecStateSchema>;

/** `POST /api/batch-specs`: 201 with the batch spec, whose workspaces are then found. */
export const createBatchSpecSchema = z.strictObject({
  /** YAML or JSON. */
  text: z
    .string()
    .min(1)
    .refine(isStorable, 'must be text without NUL')
    .refine(
      (text) => Buffer.byteLength(text) <= batchSpecBytesMax,
      `must have at most ${batchSpecBytesMax} bytes`,
    ),
  /** Missing: the user's own. */
  namespace: namespaceSchema.optional(),
  /** Also runs in repositories that have a `.batchignore`. */
  allowIgnored: z.boolean().default(false),
  /** Also runs in repositories on whose host the instance can open no changesets. */
  allowUnsupported: z.boolean().default(false),
  /** Runs every step, also where there is a result of an earlier one. */
  noCache: z.boolean().default(false),
  options: batchOptionsSchema.default({}),
  /** Executes it once its workspaces are known. Files that its steps mount have to be sent before: leave it out then. */
  execute: z.boolean().default(false),
});
export type CreateBatchSpec = z.input<typeof createBatchSpecSchema>;

/** `GET /api/batch-specs/{spec}`: the batch spec as it is now. */
export const batchSpecRecordSchema = z.object({
  id: batchIdSchema,
  namespace: z.string(),
  /** The name of the batch change. */
  name: z.string(),
  creator: z.string(),
  state: batchSpecStateSchema,
  /** `client`: a client has run it and sent its changesets. */
  origin: z.enum(['server', 'client']),
  /** How far its workspaces are found. */
  resolution: z.enum(['queued', 'processing', 'failed', 'completed']),
  resolutionFailure: z.string().nullable(),
  text: z.string(),
  allowIgnored: z.boolean(),
  allowUnsupported: z.boolean(),
  noCache: z.boolean(),
  options: batchOptionsSchema,
  /** How many workspaces are in each state. */
  workspaces: z.record(workspaceStateSchema, z.int().nonnegative()),
  createdAt: z.string(),
  /** When somebody asked for its execution; null: nobody has. */
  executedAt: z.string().nullable(),
  /** When its changesets were made of the results; null: not yet. */
  builtAt: z.string().nullable(),
  /** Why its changesets cannot be made of the results. */
  buildFailure: z.string().nullable(),
});
export type BatchSpecRecord = z.infer<typeof batchSpecRecordSchema>;

/** What a diff changes. */
export const diffStatSchema = z.object({
  files: z.int().nonnegative(),
  addedLines: z.int().nonnegative(),
  deletedLines: z.int().nonnegative(),
});
export type DiffStat = z.infer<typeof diffStatSchema>;

/** A step of a workspace, in its latest execution. A step that has not begun is not there. */
export const workspaceStepSchema = z.object({
  /** From 0. */
  step: z.int().nonnegative(),
  state: z.enum(['cached', 'skipped', 'processing', 'completed', 'failed']),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  /** All changes up to the end of this step; null: it has no result. */
  stat: diffStatSchema.nullable(),
});
export type WorkspaceStep = z.infer<typeof workspaceStepSchema>;

/** `GET /api/batch-specs/{spec}/workspaces`: a page of the directories of repositories in which the steps run. */
export const workspaceRecordSchema = z.object({
  id: batchIdSchema,
  repository: z.string(),
  /** A full name: `refs/heads/…`. */
  branch: z.string(),
  commit: z.string(),
  /** Without a slash at either end; empty for the root of the repository. */
  path: z.string(),
  onlyFetchWorkspace: z.boolean(),
  ignored: z.boolean(),
  unsupported: z.boolean(),
  state: workspaceStateSchema,
  /** Why it failed, or was skipped. */
  reason: z.string().nullable(),
  /** The job of its latest execution; null: it had none, or it was removed. */
  jobId: z.int().nullable(),
  /** How many steps its batch spec has, whose conditions may skip some. */
  stepCount: z.int().nonnegative(),
  steps: z.array(workspaceStepSchema),
  queuedAt: z.string().nullable(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
});
export type WorkspaceRecord = z.infer<typeof workspaceRecordSchema>;
export const listWorkspacesSchema = z.object({
  /** Missing: all states. */
  state: workspaceStateSchema.nullable().default(null),
  /** `next` of the page before. */
  after: numberInText.pipe(z.int().nonnegative()).default(0),
  limit: numberInText.pipe(z.int().min(1).max(500)).default(200),
});
export const workspacePageSchema = z.object({
  workspaces: z.array(workspaceRecordSchema),
  /** What to give as `after` for the next page; null: this is the last one. */
  next: z.int().nullable(),
});
export type WorkspacePage = z.infer<typeof workspacePageSchema>;

/**
 * `GET /api/batch-specs/{spec}/events`: something that has changed. After the state of a batch spec that has ended, nothing comes any
 * more, and the workspaces were as they were at its end.
 */
export const batchEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('workspace'), workspace: workspaceRecordSchema }),
  z.object({
    type: z.literal('spec'),
    ...batchSpecRecordSchema.pick({ state: true, resolution: true }).shape,
  }),
]);
export type BatchEvent = z.infer<typeof batchEventSchema>;

/** Whether nothing of a batch spec is going on any more. */
export function hasBatchSpecEnded({
  state,
  resolution,
}: Pick<BatchSpecRecord, 'state' | 'resolution'>): boolean {
  return ['completed', 'failed', 'canceled'].includes(state) || resolution === 'failed';
}

/** `GET /api/batch-specs/{spec}/workspaces/{workspace}`: a workspace with what its steps have written. */
export const workspaceDetailSchema = workspaceRecordSchema.extend({
  steps: z.array(
    workspaceStepSchema.extend({
      stdout: z.string(),
      stderr: z.string(),
      /** All outputs so far, by name. */
      outputs: z.record(z.string(), z.unknown()),
    }),
  ),
  /** The diff of its last step that has a result, without prefixes; null: there is none, or it has more than 1 MiB. */
  diff: z.string().nullable(),
});
export type WorkspaceDetail = z.infer<typeof workspaceDetailSchema>;

/** Only these workspaces of a batch spec; missing: all. */
const someWorkspaces = z.array(batchIdSchema).min(1).max(1_000).optional();
/** `POST /api/batch-specs/{spec}/execute`: 200 with the batch spec. */
export const executeBatchSpecSchema = z
  .strictObject({
    noCache: z.boolean().optional(),
    /** The others wait for another request. */
    workspaces: someWorkspaces,
  })
  .refine(
    ({ noCache, workspaces }) => noCache === undefined || workspaces === undefined,
    '`noCache` is for all workspaces',
  );
/** `POST /api/batch-specs/{spec}/cancel`, also without a body: 200 with the batch spec. */
export const cancelBatchSpecSchema = z.strictObject({ workspaces: someWorkspaces }).nullable();
export type CancelBatchSpec = NonNullable<z.input<typeof cancelBatchSpecSchema>>;

/** `POST /api/batch-specs/{spec}/retry`: 200 with the batch spec; what failed or was canceled runs again. */
export const retryBatchSpecSchema = z.strictObject({
  /** Also those that were completed. */
  includeCompleted: z.boolean().default(false),
  workspaces: someWorkspaces,
});
export type RetryBatchSpec = z.input<typeof retryBatchSpecSchema>;

/** `PUT /api/batch-specs/{spec}/files/{path}`, with its bytes: 200 with the file, which takes the place of an earlier one. */
export const putBatchFileQuerySchema = z.object({
  /** It counts for the keys of cached results. */
  modifiedAt: momentSchema,
});
export const batchFileSchema = z.object({
  id: batchIdSchema,
  /** From the directory of the batch spec. */
  path: relativePathSchema,
  digest: digestSchema,
  bytes: z.int().nonnegative(),
});
export type BatchFile = z.infer<typeof batchFileSchema>;
