import * as z from 'zod';
import { queueNameSchema } from '../kinds.ts';
import { tierSchema } from '../tier.ts';
import { jobIdSchema, numberInText } from '../values.ts';
import { jobRecordSchema, jobStateSchema } from './jobs.ts';

/** `GET /api/jobs`: newest first. */
export const listJobsSchema = z.object({
  state: jobStateSchema.optional(),
  queue: queueNameSchema.optional(),
  tenant: z.string().max(200).optional(),
  /** Only jobs before this one; `next` of the last page. */
  before: numberInText.pipe(jobIdSchema).optional(),
  limit: numberInText.int().min(1).max(200).default(50),
});
export type ListJobs = z.input<typeof listJobsSchema>;
export const jobPageSchema = z.object({ jobs: z.array(jobRecordSchema), next: z.int().nullable() });
export type JobPage = z.infer<typeof jobPageSchema>;

/** `GET /api/jobs/{id}/attempts`: every attempt, oldest first. The job's events have their logs. */
export const attemptSchema = z.object({
  attempt: z.int().positive(),
  executor: z.string(),
  /** `processing`, the state that the job went to, or `lost` when the lease expired. */
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

/** `GET /api/jobs/{id}/why`: why a job does not run yet, and when it is likely to start. */
export const whySchema = z.object({
  state: jobStateSchema,
  /** The reasons `turn` and `later` pass by themselves; null when the job does not wait. */
  waiting: z.object({ reason: z.string(), message: z.string(), remedy: z.string() }).nullable(),
  /** How many jobs are likely to start before this one, and the tenant's part of all leases, from 0 to 1. */
  ahead: z.int().nonnegative().nullable(),
  share: z.number().min(0).max(1).nullable(),
  /** An estimate from how many jobs have ended lately; null without one. */
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
