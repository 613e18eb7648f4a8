import { z } from 'zod';
import { queueNameSchema } from '../kinds.ts';
import { tierSchema } from '../tier.ts';
import { jobIdSchema } from '../values.ts';
import { jobRecordSchema, jobStateSchema } from './jobs.ts';

/** `GET /api/jobs`: newest first. */
export const listJobsSchema = z.object({
  state: jobStateSchema.optional(),
  queue: queueNameSchema.optional(),
  tenant: z.string().max(200).optional(),
  /** Only jobs before this one: `next` of the page before. */
  before: z.coerce.number().pipe(jobIdSchema).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type ListJobs = z.input<typeof listJobsSchema>;
export const jobPageSchema = z.object({ jobs: z.array(jobRecordSchema), next: z.int().nullable() });
export type JobPage = z.infer<typeof jobPageSchema>;

/** `GET /api/jobs/{id}/attempts`: every attempt with its end, oldest first; their logs are in the job's events. */
export const attemptSchema = z.object({
  attempt: z.int().positive(),
  executor: z.string(),
  /** `processing`, a state that ended it, or `lost`: its executor was not heard of in time. */
  outcome: z.string(),
  failure: z.object({ reason: z.string(), message: z.string() }).nullable(),
  tier: tierSchema.nullable(),
  vmm: z.string().nullable(),
  exitCode: z.int().nullable(),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
});
export const attemptsSchema = z.object({ attempts: z.array(attemptSchema) });
export type Attempt = z.infer<typeof attemptSchema>;

/** `GET /api/jobs/{id}/why`: why it is not running yet, and when it may be. */
export const whySchema = z.object({
  state: jobStateSchema,
  /** `turn` and `later` pass by themselves; null when it is not waiting. */
  waiting: z.object({ reason: z.string(), message: z.string(), remedy: z.string() }).nullable(),
  /** Jobs that are likely to start before it, and its tenant's part of all leases, from 0 to 1. */
  ahead: z.int().nonnegative().nullable(),
  share: z.number().min(0).max(1).nullable(),
  /** From how many jobs ended lately; null while that is not known. */
  expectedStartAt: z.string().nullable(),
});
export type Why = z.infer<typeof whySchema>;

/** `GET /api/shares`, and `PUT /api/shares/{queue}/{tenant}` with `{"weight": W}`. */
export const shareWeightSchema = z.object({ weight: z.number().positive().min(0.001).max(1000) });
export const shareSchema = z.object({
  tenant: z.string(),
  queue: queueNameSchema,
  weight: z.number(),
  /** Counted up to 10,000. */
  waiting: z.int(),
  running: z.int(),
});
export const sharesSchema = z.object({ shares: z.array(shareSchema) });
export type Share = z.infer<typeof shareSchema>;
