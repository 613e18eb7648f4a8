import { z } from 'zod';
import { archSchema, labelsSchema } from '../capability.ts';
import { queueNameSchema } from '../kinds.ts';
import { tierSchema } from '../tier.ts';
import { jobIdSchema } from '../values.ts';
import { byteSizeSchema } from './size.ts';

/** Headers of a job route, beside `Authorization: Bearer <job token>`. */
export const jobIdHeader = 'x-sourcegraph-job-id';
export const executorNameHeader = 'x-sourcegraph-executor-name';

/** What is missing or null is the zero value, as upstream reads JSON. */
function orZero<S extends z.ZodType>(schema: S, zero: z.output<S>) {
  return schema.nullish().transform((value) => value ?? zero);
}

/** Ids are numbers or strings of digits, whichever the sender likes. */
const idSchema = z.union([
  jobIdSchema,
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a number')
    .transform(Number),
]);

const executorName = z
  .string({ error: 'worker hostname cannot be empty' })
  .min(1, 'worker hostname cannot be empty')
  .max(200);

/** `POST /.executors/queue/dequeue`: 200 with a job, or 204. */
export const dequeueRequestSchema = z.object({
  executorName,
  /** Says which payload it understands (`payloadVersion`). */
  version: orZero(z.string(), ''),
  /** What one job has there; upstream's variables `VM_…` are made of it. 0 and `''`: it does not say. */
  numCPUs: orZero(z.int().nonnegative(), 0),
  memory: orZero(byteSizeSchema, null),
  diskSpace: orZero(byteSizeSchema, null),
  queues: orZero(z.array(queueNameSchema), []),
  /** Native: what this executor can do, and how long the request may be held until work comes. */
  fumehood: z
    .object({
      tiers: z.array(tierSchema),
      arch: archSchema,
      /** What else its admin says of it; jobs can ask for it. */
      labels: labelsSchema.default([]),
      /** What the largest job could have when nothing else runs. */
      total: z.object({
        cpus: z.int().nonnegative(),
        memoryMiB: z.int().nonnegative(),
        scratchMiB: z.int().nonnegative(),
      }),
      freeMemoryMiB: z.int().nonnegative(),
      freeScratchMiB: z.int().nonnegative(),
      freeCpus: z.int().nonnegative(),
      waitMs: z.int().min(0).max(60_000),
    })
    .optional(),
});
export type DequeueRequest = z.input<typeof dequeueRequestSchema>;

/** `POST /.executors/queue/heartbeat` */
export const heartbeatRequestSchema = z.object({
  executorName,
  version: orZero(z.string(), ''),
  /** On a queue's own route, in place of `jobIdsByQueue`; its answers are plain ids. */
  jobIds: orZero(z.array(idSchema), []),
  jobIdsByQueue: orZero(
    z.array(z.object({ queueName: queueNameSchema, jobIds: orZero(z.array(idSchema), []) })),
    [],
  ),
  queueNames: orZero(z.array(queueNameSchema), []),
  os: z.string().nullish(),
  architecture: z.string().nullish(),
  dockerVersion: z.string().nullish(),
  executorVersion: z.string().nullish(),
  gitVersion: z.string().nullish(),
  igniteVersion: z.string().nullish(),
  srcCliVersion: z.string().nullish(),
  prometheusMetrics: z.string().nullish(),
  /** Native: the tiers that the last canary found, and the attempts of `jobIdsByQueue`: another attempt is not renewed. */
  fumehood: z
    .object({
      tiers: z.array(tierSchema),
      leases: z.array(z.object({ jobId: jobIdSchema, attempt: z.int().positive() })).optional(),
    })
    .optional(),
});
export type HeartbeatRequest = z.input<typeof heartbeatRequestSchema>;

const knownIdSchema = z.union([z.string(), z.int().transform(String)]);

/** Ids are `"<id>-<queue>"`, on a queue's own route `"<id>"`; older instances send numbers. A job of ours that is not in `knownIds` is lost: stop it. */
export const heartbeatResponseSchema = z.object({
  knownIds: z.array(knownIdSchema).nullable(),
  cancelIds: z.array(knownIdSchema).nullable(),
  /** Native, from version 2 on: lease nothing more. */
  fumehood: z.object({ draining: z.boolean() }).optional(),
});
export type HeartbeatResponse = z.output<typeof heartbeatResponseSchema>;

const jobOperation = z.object({ executorName, jobId: jobIdSchema });

const logEntrySchema = jobOperation.extend({
  key: z.string().min(1).max(200),
  command: z.array(z.string()).nullable(),
  startTime: z.iso.datetime({ offset: true }),
  exitCode: z.int().nullish(),
  out: z.string().optional(),
  durationMs: z.int().nonnegative().nullish(),
});

/**
 * `POST /.executors/queue/{queue}/addExecutionLogEntry`: 200 with the bare number of the entry, from 1. Native, in version 2:
 * the number that it is to have; where there is such an entry, nothing changes, so that a lost answer is asked for again.
 */
export const addLogEntryRequestSchema = logEntrySchema.extend({
  fumehood: z.object({ entry: z.int().min(1).max(1_000) }).optional(),
});
export type AddLogEntryRequest = z.input<typeof addLogEntryRequestSchema>;

/** `POST /.executors/queue/{queue}/updateExecutionLogEntry`: 204. Without `out` the text stays as it is (native). */
export const updateLogEntryRequestSchema = logEntrySchema.extend({ entryId: z.int().positive() });
export type UpdateLogEntryRequest = z.input<typeof updateLogEntryRequestSchema>;

/**
 * Native. `POST /.executors/queue/{queue}/appendLog?entry=N&stream=stdout|stderr&offset=B`, raw bytes as body: 200 with
 * `{"offset": end}`. A repeated offset is idempotent, a gap is 409 with the offset that is wanted.
 */
export const appendLogQuerySchema = z.object({
  entry: z.coerce.number().int().positive(),
  stream: z.enum(['stdout', 'stderr']),
  offset: z.coerce.number().int().nonnegative(),
});

/**
 * Native. `GET /.executors/queue/{queue}/input?offset=B&waitMs=M`: raw bytes of the job's stdin from that offset (may be
 * none); header `x-fumehood-input-end: true` when nothing follows them.
 */
export const inputQuerySchema = z.object({
  offset: z.coerce.number().int().nonnegative(),
  waitMs: z.coerce.number().int().min(0).max(60_000).default(0),
});
export const inputEndHeader = 'x-fumehood-input-end';

/** Native. `GET /.executors/queue/{queue}/blob/{digest}`: an image archive named in the job's steps. */

/** Native. `POST /.executors/queue/{queue}/result`: typed facts of a run, before its mark. 204. */
export const jobResultRequestSchema = jobOperation.extend({
  tier: tierSchema,
  vmm: z.literal('qemu'),
  /** Exit code of the last step that ran; 128 + signal when a signal ended it. */
  exitCode: z.int().min(0).max(255).nullable(),
  guest: z
    .object({ kernel: z.string().max(200), interfaces: z.array(z.string().max(64)).max(64) })
    .nullable(),
  /** How often a credential of this run was found in the VM's memory and disks; null when it was not searched. */
  inspection: z
    .object({
      searchedBytes: z.int().nonnegative(),
      credentials: z.int().nonnegative(),
      found: z.int().nonnegative(),
      /** The search's own control: a marker put into the guest on purpose was found. */
      controlFound: z.boolean(),
    })
    .nullable(),
  /** What the VM left on the host after its destruction, counted. */
  leftOver: z.record(z.string(), z.int().nonnegative()),
});
export type JobResultRequest = z.input<typeof jobResultRequestSchema>;

/** `POST /.executors/queue/{queue}/markComplete`: 204, or 404 `null` when the lease is not ours. */
export const markCompleteRequestSchema = jobOperation;
/** `…/markErrored` (may be retried) and `…/markFailed` (final). `reason` is native: a stable code. */
export const markFailedRequestSchema = jobOperation.extend({
  errorMessage: z.string().max(100_000),
  reason: z.string().max(100).optional(),
});
export type MarkFailedRequest = z.input<typeof markFailedRequestSchema>;
