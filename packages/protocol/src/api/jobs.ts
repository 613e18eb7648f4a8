import * as z from 'zod';
import { archSchema } from '../capability.ts';
import { egressPolicySchema } from '../egress-policy.ts';
import { queueNameSchema } from '../kinds.ts';
import { tierSchema } from '../tier.ts';
import { numberInText } from '../values.ts';
import { networkCeilingSchema } from './network.ts';

/** Every request of people and programs has the header `Authorization: token <access token>`. */
export const tokenScheme = 'token';

/** Header of `POST /api/jobs`. A tenant's repeated request with the same key makes no second job. */
export const idempotencyHeader = 'idempotency-key';
export const idempotencyKeySchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 printable ASCII characters without blanks');

export const jobStateSchema = z.enum(['queued', 'processing', 'completed', 'errored', 'failed', 'canceled']);
export type JobState = z.infer<typeof jobStateSchema>;

export const logEntrySchema = z.object({
  /** The number of the entry, from 1, within its attempt. */
  entry: z.int().positive(),
  attempt: z.int().positive(),
  /** The phase: `setup.vm.boot`, `step.docker.0`, `teardown.vm` … */
  key: z.string(),
  command: z.array(z.string()),
  startTime: z.string(),
  durationMs: z.int().nullable(),
  exitCode: z.int().nullable(),
  /** Bytes beyond the limit of a stream, which are not stored; missing while there are none. */
  droppedBytes: z.object({ stdout: z.int(), stderr: z.int() }).optional(),
});
export type LogEntry = z.infer<typeof logEntrySchema>;

/** What a job may reach over the network. */
const jobEgressSchema = z.object({
  asked: egressPolicySchema,
  /** What applies to the last attempt: `asked` under the ceilings that were in force when it was leased. Null before the first lease. */
  applied: egressPolicySchema.nullable(),
  /** The ceilings of the instance that narrow `asked`. `GET /api/jobs/{id}/network` has what applied after the ceiling of the executor, too. */
  narrowedBy: z.array(networkCeilingSchema),
  /** The entries of the broker that it names, which its steps can use whatever applies. */
  broker: z.array(z.string()),
});

/** `GET /api/jobs/{id}` */
export const jobRecordSchema = z.object({
  id: z.int().positive(),
  queue: queueNameSchema,
  state: jobStateSchema,
  attempt: z.int().nonnegative(),
  /** The owner, for fair shares and limits. */
  tenant: z.string(),
  priority: z.int(),
  /** The digest of its image archive, or the reference to its image in a registry. */
  image: z.string(),
  /** The beginning of its command or script, with blanks between the arguments: at most 200 characters. */
  command: z.string(),
  /** The names of the secrets that its steps can read. An instance of an older build does not send it. */
  secrets: z.array(z.string()).optional(),
  accept: z.array(tierSchema),
  arch: archSchema.nullable(),
  labels: z.array(z.string()),
  /** Whether only executors with the native extension can run the job, because others cannot fetch its image archives. */
  needsNative: z.boolean(),
  /** The oldest version of the native protocol whose executors understand the whole job; 0: also those of upstream's kind. */
  needsVersion: z.int().nonnegative().default(0),
  /** What it may reach over the network. An instance of an older build does not send it. */
  network: jobEgressSchema.optional(),
  resources: z.object({ cpus: z.int(), memoryMiB: z.int(), scratchMiB: z.int() }),
  executor: z.string().nullable(),
  tier: tierSchema.nullable(),
  vmm: z.string().nullable(),
  exitCode: z.int().nullable(),
  failure: z.object({ reason: z.string(), message: z.string() }).nullable(),
  /** Whether a cancel was requested. The job ends when its executor no longer names it. */
  cancelRequested: z.boolean(),
  /** Why a queued job cannot start; null when it waits for its turn (`GET /api/jobs/{id}/why`) or is not queued. */
  waiting: z.object({ reason: z.string(), message: z.string(), remedy: z.string() }).nullable(),
  guest: z.object({ kernel: z.string(), interfaces: z.array(z.string()) }).nullable(),
  inspection: z
    .object({ searchedBytes: z.int(), credentials: z.int(), found: z.int(), controlFound: z.boolean() })
    .nullable(),
  leftOver: z.record(z.string(), z.int()).nullable(),
  /** The upload of this job's index, once it is stored. */
  uploadId: z.int().nullable(),
  queuedAt: z.string(),
  processAfter: z.string().nullable(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
});
export type JobRecord = z.infer<typeof jobRecordSchema>;

/**
 * `GET /api/jobs/{id}/events`: server-sent events, from the beginning or after `Last-Event-ID`, until the job has ended. Their `data`
 * is one of these as JSON.
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
    /** Base64, because output is bytes. */
    data: z.base64(),
  }),
]);
export type JobEvent = z.infer<typeof jobEventSchema>;
/**
 * With `follow=false` the stream ends after the events so far. With `tail`, output is left out unless it was among the last so many
 * bytes of its stream.
 */
export const jobEventsQuerySchema = z.object({
  follow: z.enum(['true', 'false']).default('true'),
  tail: numberInText.int().nonnegative().optional(),
});

/**
 * `GET /api/jobs/{id}/logs`: the output of the job's steps as plain text, stdout and stderr in the order of their arrival. With
 * `follow` (alone or `=true`) the answer goes on until the job has ended.
 */
export const jobLogsQuerySchema = z.object({ follow: z.enum(['', 'true', 'false']).optional() });

/** `POST /api/jobs/{id}/input?offset=B&end=true|false`, raw bytes: 200 with `{"offset": end}`. Sending bytes again is idempotent. */
export const jobInputQuerySchema = z.object({
  offset: numberInText.int().nonnegative(),
  end: z.enum(['true', 'false']).default('false'),
});

/** The body of every refusal of `/api`. */
export const apiErrorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), remedy: z.string().optional() }),
});
