import { z } from 'zod';
import { archSchema } from '../capability.ts';
import { queueNameSchema } from '../kinds.ts';
import { tierSchema } from '../tier.ts';

/** Every request of people and programs carries `Authorization: token <access token>`. */
export const tokenScheme = 'token';

/** Header of `POST /api/jobs`: the same request with the same key, of the same tenant, makes one job. */
export const idempotencyHeader = 'idempotency-key';
export const idempotencyKeySchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 printable ASCII characters without blanks');

export const jobStateSchema = z.enum(['queued', 'processing', 'completed', 'errored', 'failed', 'canceled']);
export type JobState = z.infer<typeof jobStateSchema>;

export const logEntrySchema = z.object({
  /** From 1, within its attempt. */
  entry: z.int().positive(),
  attempt: z.int().positive(),
  /** e.g. `setup.vm.boot`, `step.docker.0`, `teardown.vm` */
  key: z.string(),
  command: z.array(z.string()),
  startTime: z.string(),
  durationMs: z.int().nullable(),
  exitCode: z.int().nullable(),
  /** Bytes that were over the cap of a stream and are not kept; missing while there are none. */
  droppedBytes: z.object({ stdout: z.int(), stderr: z.int() }).optional(),
});
export type LogEntry = z.infer<typeof logEntrySchema>;

/** `GET /api/jobs/{id}` */
export const jobRecordSchema = z.object({
  id: z.int().positive(),
  queue: queueNameSchema,
  state: jobStateSchema,
  attempt: z.int().nonnegative(),
  /** Whose it is, for fair shares and bounds. */
  tenant: z.string(),
  priority: z.int(),
  accept: z.array(tierSchema),
  arch: archSchema.nullable(),
  labels: z.array(z.string()),
  /** Only executors that speak the native extension can run it: upstream's have no way to its image archives. */
  needsNative: z.boolean(),
  resources: z.object({ cpus: z.int(), memoryMiB: z.int(), scratchMiB: z.int() }),
  executor: z.string().nullable(),
  tier: tierSchema.nullable(),
  vmm: z.string().nullable(),
  exitCode: z.int().nullable(),
  failure: z.object({ reason: z.string(), message: z.string() }).nullable(),
  /** Its end was asked for; it comes when its executor has let it go. */
  cancelRequested: z.boolean(),
  /** Why a queued job cannot start, and what to do; null when it just waits its turn (`GET /api/jobs/{id}/why`) or is not queued. */
  waiting: z.object({ reason: z.string(), message: z.string(), remedy: z.string() }).nullable(),
  guest: z.object({ kernel: z.string(), interfaces: z.array(z.string()) }).nullable(),
  inspection: z
    .object({ searchedBytes: z.int(), credentials: z.int(), found: z.int(), controlFound: z.boolean() })
    .nullable(),
  leftOver: z.record(z.string(), z.int()).nullable(),
  /** The upload that this job left, once it is stored. */
  uploadId: z.int().nullable(),
  queuedAt: z.string(),
  processAfter: z.string().nullable(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
});
export type JobRecord = z.infer<typeof jobRecordSchema>;

/**
 * `GET /api/jobs/{id}/events`: server-sent events, from the beginning or after `Last-Event-ID`, ended by the server
 * when the job has ended. Their `data` is one of these as JSON.
 */
export const jobEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('job'), job: jobRecordSchema }),
  z.object({ type: z.literal('entry'), entry: logEntrySchema }),
  z.object({
    type: z.literal('output'),
    attempt: z.int(),
    entry: z.int(),
    stream: z.enum(['stdout', 'stderr']),
    offset: z.int(),
    /** Base64: a job's output is bytes. */
    data: z.base64(),
  }),
]);
export type JobEvent = z.infer<typeof jobEventSchema>;

/** `POST /api/jobs/{id}/input?offset=B&end=true|false`, raw bytes: 200 with `{"offset": end}`; a repeat is idempotent. */
export const jobInputQuerySchema = z.object({
  offset: z.coerce.number().int().nonnegative(),
  end: z.enum(['true', 'false']).default('false'),
});

/** Every refusal of `/api`. */
export const apiErrorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), remedy: z.string().optional() }),
});
