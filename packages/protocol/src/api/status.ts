import { z } from 'zod';
import { tierSchema } from '../tier.ts';

/** `GET /api/status`: what this instance is, and what could run a job now. */
export const statusSchema = z.object({
  version: z.string(),
  /** Executors heard of within the last 20 seconds. */
  executors: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      tiers: z.array(tierSchema),
      /** It leases nothing more, by an admin's request. */
      draining: z.boolean(),
      lastSeenAt: z.string(),
    }),
  ),
  /** Every tier that one of them offers. */
  tiers: z.array(tierSchema),
  jobs: z.object({ queued: z.int(), processing: z.int() }),
});
export type Status = z.infer<typeof statusSchema>;
