import * as z from 'zod';
import { numberInText } from '../values.ts';
import { batchIdSchema, diffStatSchema } from './batch-specs.ts';
import { namespaceSchema } from './organisations.ts';

/** What the reconciler does with a changeset. `push`: its branch alone; `import`: follows one that was made elsewhere. */
export const changesetOperationSchema = z.enum([
  'push',
  'publish',
  'update',
  'undraft',
  'import',
  'close',
  'reopen',
  'comment',
  'merge',
  'detach',
  'archive',
  'nothing',
]);
export type ChangesetOperation = z.infer<typeof changesetOperationSchema>;

/** What users ask for where the batch spec says nothing: to be published, as a draft, or not. */
export const publicationSchema = z.union([z.boolean(), z.literal('draft')], 'must be true, false or draft');
export type Publication = z.infer<typeof publicationSchema>;

/** A changeset that a preview is about. */
export const previewChangesetSchema = z.object({
  /** The changeset that there is; null: it would be a new one. */
  changeset: batchIdSchema.nullable(),
  /** What it shall be; null: the batch spec has it no longer. */
  changesetSpec: batchIdSchema.nullable(),
  repository: z.string(),
  /** A full name: `refs/heads/…`; null for one that was made elsewhere. */
  headRef: z.string().nullable(),
  title: z.string().nullable(),
  /** The number on its code host; null: it has none yet. */
  externalId: z.string().nullable(),
  /** What the batch spec says of its publication; null: nothing, and users decide. */
  published: publicationSchema.nullable(),
  stat: diffStatSchema.nullable(),
  operations: z.array(changesetOperationSchema),
});
export type PreviewChangeset = z.infer<typeof previewChangesetSchema>;

/** `GET /api/batch-specs/{spec}/preview`: what would happen if the batch spec were applied. Nothing has happened yet. */
export const previewSchema = z.object({
  /** The batch change that it would be applied to; null: it would be a new one. */
  batchChange: batchIdSchema.nullable(),
  namespace: z.string(),
  name: z.string(),
  changesets: z.array(previewChangesetSchema),
  /** How many changesets have each operation. */
  stats: z.partialRecord(changesetOperationSchema, z.int().nonnegative()),
});
export type Preview = z.infer<typeof previewSchema>;

/** How changesets are published: the next wave begins when those of the last one are open and few enough have failed. */
export const wavesSchema = z.strictObject({
  /** How many changesets a wave has. */
  size: z.int().min(1).max(10_000),
  /** The largest share of failed checks, from 0 to 1, with which the next wave still begins. */
  failedShareMax: z.number().min(0).max(1),
});
export type Waves = z.infer<typeof wavesSchema>;

/** `POST /api/batch-specs/{spec}/apply`: 200 with the batch change. Applying it again changes nothing. */
export const applyBatchSpecSchema = z.strictObject({
  /** For changesets of which the batch spec says nothing. */
  publicationStates: z
    .array(z.strictObject({ changesetSpec: batchIdSchema, publication: publicationSchema }))
    .max(10_000)
    .default([]),
  /** Null: all at once. */
  waves: wavesSchema.nullable().default(null),
});
export type ApplyBatchSpec = z.input<typeof applyBatchSpecSchema>;

export const changesetStateSchema = z.enum([
  'unpublished',
  'scheduled',
  'processing',
  'retrying',
  'failed',
  'pushed',
  'draft',
  'open',
  'merged',
  'closed',
  'deleted',
]);
export type ChangesetState = z.infer<typeof changesetStateSchema>;

/** `GET /api/batch-changes/{batchChange}` */
export const batchChangeRecordSchema = z.object({
  id: batchIdSchema,
  namespace: z.string(),
  name: z.string(),
  description: z.string(),
  creator: z.string(),
  /** `draft`: no batch spec was applied yet. */
  state: z.enum(['draft', 'open', 'closed']),
  /** The batch spec that was applied last. */
  spec: batchIdSchema.nullable(),
  appliedBy: z.string().nullable(),
  appliedAt: z.string().nullable(),
  waves: wavesSchema.nullable(),
  /** Why the next wave does not begin; null: nothing holds it. */
  wavesStopped: z.string().nullable(),
  /** How many changesets are in each state. Those that were archived are left out. */
  changesets: z.partialRecord(changesetStateSchema, z.int().nonnegative()),
  createdAt: z.string(),
  updatedAt: z.string(),
  closedAt: z.string().nullable(),
});
export type BatchChangeRecord = z.infer<typeof batchChangeRecordSchema>;

/** `GET /api/batch-changes`: those of the user's own namespaces, newest first; for an admin, all. */
export const listBatchChangesSchema = z.object({
  namespace: namespaceSchema.optional(),
  name: z.string().max(400).optional(),
  state: z.enum(['draft', 'open', 'closed']).optional(),
  limit: numberInText.pipe(z.int().min(1).max(200)).default(50),
});
export type ListBatchChanges = z.input<typeof listBatchChangesSchema>;
export const batchChangesSchema = z.object({ batchChanges: z.array(batchChangeRecordSchema) });

/** `GET /api/batch-changes/{batchChange}/changesets` */
export const changesetRecordSchema = z.object({
  id: batchIdSchema,
  repository: z.string(),
  headRef: z.string().nullable(),
  title: z.string().nullable(),
  state: changesetStateSchema,
  /** What its batch spec says of its publication; null: nothing, so users decide. */
  published: publicationSchema.nullable(),
  /** The commit that was pushed last. */
  commit: z.string().nullable(),
  externalId: z.string().nullable(),
  externalUrl: z.string().nullable(),
  review: z.enum(['approved', 'changes_requested', 'pending']).nullable(),
  checks: z.enum(['passed', 'failed', 'pending']).nullable(),
  /** Why it failed, or is tried again. */
  failure: z.string().nullable(),
  stat: diffStatSchema.nullable(),
  archivedAt: z.string().nullable(),
  detachedAt: z.string().nullable(),
  publishedAt: z.string().nullable(),
  /** When its state on the code host was read last. */
  syncedAt: z.string().nullable(),
});
export type ChangesetRecord = z.infer<typeof changesetRecordSchema>;
export const changesetsSchema = z.object({ changesets: z.array(changesetRecordSchema) });

/** `POST /api/batch-changes/{batchChange}/close`: 200 with the batch change. */
export const closeBatchChangeSchema = z.strictObject({
  /** Also closes its open changesets on their code hosts. */
  closeChangesets: z.boolean().default(false),
});

/** The name of a batch change, as batch specs have it. */
export const batchChangeNameSchema = z
  .string()
  .max(200)
  .regex(/^[\w.-]+$/, 'must be letters, digits, underscores, dots and hyphens');
/** `POST /api/batch-changes/{batchChange}/move`: 200 with the batch change. What is missing stays as it is. */
export const moveBatchChangeSchema = z.strictObject({
  namespace: namespaceSchema.optional(),
  name: batchChangeNameSchema.optional(),
});
export type MoveBatchChange = z.input<typeof moveBatchChangeSchema>;

/** Most changesets that one request names. */
export const someChangesetsMax = 1_000;
/** Changesets of one batch change. */
const someChangesets = { changesets: z.array(batchIdSchema).min(1).max(someChangesetsMax) };
/** `POST /api/batch-changes/{batchChange}/publish`: 200 with the batch change. */
export const publishChangesetsSchema = z.strictObject({
  ...someChangesets,
  publication: z.union([z.literal(true), z.literal('draft')], 'must be true or draft'),
});
export type PublishChangesets = z.input<typeof publishChangesetsSchema>;
/** `POST /api/batch-changes/{batchChange}/merge`: 200 with the batch change. */
export const mergeChangesetsSchema = z.strictObject({
  ...someChangesets,
  /** As one commit. */
  squash: z.boolean().default(false),
});
export type MergeChangesets = z.input<typeof mergeChangesetsSchema>;
/** `POST /api/batch-changes/{batchChange}/comment`: 200 with the batch change. */
export const commentChangesetsSchema = z.strictObject({
  ...someChangesets,
  /** Markdown. */
  body: z.string().trim().min(1).max(60_000),
});
export type CommentChangesets = z.input<typeof commentChangesetsSchema>;
/** `POST /api/batch-changes/{batchChange}/close-changesets`, `…/archive`, `…/detach` and `…/reenqueue`: 200 with the batch change. */
export const someChangesetsSchema = z.strictObject(someChangesets);
