import * as z from 'zod';
import { archSchema, labelsSchema } from '../capability.ts';
import { defaultTiers, tierSchema } from '../tier.ts';
import { momentSchema, stopGraceSchema } from '../values.ts';

/** Fields of every request for a job, whatever its kind. */
export const jobOptions = {
  accept: z
    .array(tierSchema)
    .min(1)
    .default([...defaultTiers]),
  cpus: z.int().min(1).max(64).default(1),
  memoryMiB: z.int().min(128).max(1_048_576).default(1024),
  scratchMiB: z.int().min(64).max(1_048_576).default(4096),
  /** Wall time of all steps together. At its end the running step is asked to end. */
  deadlineMs: z.int().min(1_000).max(86_400_000).default(3_600_000),
  /** How long a step may go on after SIGTERM, or its image's `StopSignal`, at the deadline and after a cancel. Then it is killed. */
  stopGraceMs: stopGraceSchema,
  /** Searches the paused VM for the job's credentials before it is destroyed. */
  inspect: z.boolean().default(false),
  /** Null accepts any. */
  arch: archSchema.nullable().default(null),
  /** The executor must have all of these. */
  labels: labelsSchema.default([]),
  /** Each point counts as one more minute in the queue, within the share of the tenant. */
  priority: z.int().min(0).max(100).default(0),
  /** The job does not start before this time; null is now. */
  processAfter: momentSchema.nullable().default(null),
  /** How many losses of its executor the job survives. */
  maxResets: z.int().min(0).max(20).default(3),
  /** How often the job is tried again after an error that may pass. */
  maxRetries: z.int().min(0).max(20).default(0),
  /** Pause before the first retry; each further retry doubles it, up to an hour. */
  retryPauseMs: z.int().min(0).max(3_600_000).default(5_000),
};
