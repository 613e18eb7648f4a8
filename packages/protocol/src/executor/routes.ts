import * as z from 'zod';
import { archSchema, labelsSchema } from '../capability.ts';
import { egressPolicySchema } from '../egress-policy.ts';
import { queueNameSchema } from '../kinds.ts';
import { jobReceiptSchema } from '../receipt.ts';
import { tierSchema } from '../tier.ts';
import { executorNameSchema, jobIdSchema, momentSchema, numberInText } from '../values.ts';
import { machineSchema } from './native.ts';
import { byteSizeSchema } from './size.ts';

/** Headers of a job route, besides `Authorization: Bearer <job token>`. */
export const jobIdHeader = 'x-sourcegraph-job-id';
export const executorNameHeader = 'x-sourcegraph-executor-name';

/** Makes a field that is missing or null have its zero value, as upstream reads JSON. */
function orZero<S extends z.ZodType>(schema: S, zero: z.output<S>) {
  return schema.nullish().transform((value) => value ?? zero);
}

/** An id is a number or a string of digits. */
const idSchema = z.union([
  jobIdSchema,
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a number')
    .transform(Number),
]);

/** Jobs that one heartbeat may name, and queues that one request may: far more than any executor has. */
const heldMax = 10_000;
const queuesMax = 10;
const heldIds = z.array(idSchema).max(heldMax);

const executorName = z
  .string({ error: 'worker hostname cannot be empty' })
  .min(1, 'worker hostname cannot be empty')
  .pipe(executorNameSchema);
/** A count that a column of 32 bits holds. */
const count = z.int32().nonnegative();

/** `POST /.executors/queue/dequeue`: 200 with a job, or 204. */
export const dequeueRequestSchema = z.object({
  executorName,
  /** Decides which payload the executor gets (`payloadVersion`). */
  version: orZero(z.string().max(200), ''),
  /** The size of a job's machine, as in upstream's variables `VM_…`; 0 and `''` stand for an unknown size. */
  numCPUs: orZero(count, 0),
  memory: orZero(byteSizeSchema, null),
  diskSpace: orZero(byteSizeSchema, null),
  queues: orZero(z.array(queueNameSchema).max(queuesMax), []),
  /** Native: what this executor offers, and how long the instance may hold the request until there is a job. */
  fumehood: z
    .object({
      tiers: z.array(tierSchema).max(100),
      arch: archSchema,
      /** Labels that its admin gives it, and that jobs can ask for. */
      labels: labelsSchema.default([]),
      /** The largest job that fits when no other one runs. */
      total: z.object({
        cpus: count,
        memoryMiB: count,
        scratchMiB: count,
      }),
      freeMemoryMiB: count,
      freeScratchMiB: count,
      freeCpus: count,
      waitMs: z.int().min(0).max(60_000),
      /** From version 3 on: whether it can give guests a network. */
      network: z.boolean().default(false),
      machine: machineSchema.optional(),
    })
    .optional(),
});
export type DequeueRequest = z.input<typeof dequeueRequestSchema>;

/** Characters of the reason for which an executor leases nothing. */
export const troubleMax = 1_000;

/** `POST /.executors/queue/heartbeat` */
export const heartbeatRequestSchema = z.object({
  executorName,
  version: orZero(z.string().max(200), ''),
  /** In place of `jobIdsByQueue`, on the route of one queue; the ids in its answer are plain. */
  jobIds: orZero(heldIds, []),
  jobIdsByQueue: orZero(
    z.array(z.object({ queueName: queueNameSchema, jobIds: orZero(heldIds, []) })).max(queuesMax),
    [],
  ),
  queueNames: orZero(z.array(queueNameSchema).max(queuesMax), []),
  os: z.string().nullish(),
  architecture: z.string().nullish(),
  dockerVersion: z.string().nullish(),
  executorVersion: z.string().max(200).nullish(),
  gitVersion: z.string().nullish(),
  igniteVersion: z.string().nullish(),
  srcCliVersion: z.string().nullish(),
  prometheusMetrics: z.string().nullish(),
  /**
   * Native: the tiers that the last canary found, and the attempts of `jobIdsByQueue` (other attempts are not renewed); why the
   * executor leases nothing by itself, if so.
   */
  fumehood: z
    .object({
      tiers: z.array(tierSchema).max(100),
      leases: z
        .array(z.object({ jobId: jobIdSchema, attempt: z.int32().positive() }))
        .max(heldMax)
        .optional(),
      machine: machineSchema.optional(),
      trouble: z.string().min(1).max(troubleMax).optional(),
    })
    .optional(),
});
export type HeartbeatRequest = z.input<typeof heartbeatRequestSchema>;

const knownIdSchema = z.union([z.string(), z.int().transform(String)]);

/**
 * The answer to a heartbeat. Ids are `"<id>-<queue>"`, on the route of one queue `"<id>"`; older instances send numbers. The lease of
 * a job that is not in `knownIds` is lost.
 */
export const heartbeatResponseSchema = z.object({
  knownIds: z.array(knownIdSchema).nullable(),
  cancelIds: z.array(knownIdSchema).nullable(),
  /** Native, from version 2 on: whether to lease no more jobs. */
  fumehood: z.object({ draining: z.boolean() }).optional(),
});
export type HeartbeatResponse = z.output<typeof heartbeatResponseSchema>;

const jobOperation = z.object({ executorName, jobId: jobIdSchema });

/** Log entries that one attempt may have. A job has a few for its setup and one for each step. */
export const logEntriesMax = 1_000;

const logEntrySchema = jobOperation.extend({
  key: z.string().min(1).max(200),
  command: z.array(z.string()).nullable(),
  startTime: momentSchema,
  exitCode: z.int32().nullish(),
  /** The whole output so far. It is kept as bytes, so it may hold any character. */
  out: z
    .string()
    .transform((text) => new TextEncoder().encode(text))
    .optional(),
  durationMs: z.int().nonnegative().nullish(),
});

/**
 * `POST /.executors/queue/{queue}/addExecutionLogEntry`: 200 with the bare number of the entry, from 1. Native, from version 2 on:
 * the request names the number. When the entry exists, nothing changes, so that the executor can repeat the request.
 */
export const addLogEntryRequestSchema = logEntrySchema.extend({
  fumehood: z.object({ entry: z.int().min(1).max(logEntriesMax) }).optional(),
});
export type AddLogEntryRequest = z.input<typeof addLogEntryRequestSchema>;

/** `POST /.executors/queue/{queue}/updateExecutionLogEntry`: 204. Native: without `out` the output stays as it is. */
export const updateLogEntryRequestSchema = logEntrySchema.extend({ entryId: z.int32().positive() });
export type UpdateLogEntryRequest = z.input<typeof updateLogEntryRequestSchema>;

/**
 * Native. `POST /.executors/queue/{queue}/appendLog?entry=N&stream=stdout|stderr&offset=B`, raw bytes as body: 200 with
 * `{"offset": end}`. Sending bytes again is idempotent; a gap is answered with 409 and the expected offset.
 */
export const appendLogQuerySchema = z.object({
  entry: numberInText.pipe(z.int32().positive()),
  stream: z.enum(['stdout', 'stderr']),
  offset: numberInText.int().nonnegative(),
});

/**
 * Native. `GET /.executors/queue/{queue}/input?offset=B&waitMs=M`: raw bytes of the job's stdin from that offset, perhaps none. The
 * header `x-fumehood-input-end: true` says that stdin ends after them.
 */
export const inputQuerySchema = z.object({
  offset: numberInText.int().nonnegative(),
  waitMs: numberInText.int().min(0).max(60_000).default(0),
});
export const inputEndHeader = 'x-fumehood-input-end';

/** Most receipts of one request. */
export const receiptBatchMax = 500;

/**
 * Native, from version 3 on. `POST /.executors/queue/{queue}/receipts`: what the guest asked of the network since the last request, in the order
 * of `seq`, in which a gap stands for receipts that the executor did not keep. 204. Idempotent: a receipt that has arrived stays as it is.
 */
export const receiptsRequestSchema = jobOperation.extend({
  /** What applied: what the job asked for, within every ceiling. */
  policy: egressPolicySchema,
  receipts: z.array(jobReceiptSchema).max(receiptBatchMax),
  /** No receipt follows. */
  ended: z.boolean(),
});
export type ReceiptsRequest = z.input<typeof receiptsRequestSchema>;

/** Native. `POST /.executors/queue/{queue}/result`: facts of a run, sent before its mark. 204. Only `tier` is required. */
export const jobResultRequestSchema = jobOperation.extend({
  tier: tierSchema,
  /** The name of the VMM; null for a tier without one. */
  vmm: z.string().max(100).nullable().default(null),
  /** Exit code of the last step that ran; 128 + signal when a signal ended it. Null: no step ended. */
  exitCode: z.int().min(0).max(255).nullable().default(null),
  guest: z
    .object({ kernel: z.string().max(200), interfaces: z.array(z.string().max(64)).max(64) })
    .nullable()
    .default(null),
  /** How often the search found a credential of this job in the VM's memory and disks; null without a search. */
  inspection: z
    .object({
      searchedBytes: z.int().nonnegative(),
      credentials: z.int().nonnegative(),
      found: z.int().nonnegative(),
      /** The control of the search: whether it found a marker that was put into the guest on purpose. */
      controlFound: z.boolean(),
    })
    .nullable()
    .default(null),
  /** How many things of each kind the VM left on the host after its destruction; null: not counted. */
  leftOver: z
    .record(z.string().max(64), z.int().nonnegative())
    .refine((kinds) => Object.keys(kinds).length <= 64, 'has more than 64 kinds')
    .nullable()
    .default(null),
});
export type JobResultRequest = z.input<typeof jobResultRequestSchema>;

/** `POST /.executors/queue/{queue}/markComplete`: 204, or 404 `null` when the lease has ended. */
export const markCompleteRequestSchema = jobOperation;
/** `…/markErrored`, after which the job may be retried, and `…/markFailed`, which is final. Native: `reason` is a stable code. */
export const markFailedRequestSchema = jobOperation.extend({
  errorMessage: z.string().max(100_000),
  reason: z.string().max(100).optional(),
});
export type MarkFailedRequest = z.input<typeof markFailedRequestSchema>;
