import * as z from 'zod';
import { egressModeSchema } from '../egress-policy.ts';
import { tierSchema } from '../tier.ts';

/** `GET /api/status`: the instance's version, its connected executors, and how many jobs wait and run. */
export const statusSchema = z.object({
  version: z.string(),
  /** Executors that the instance has heard of within the last 20 seconds. */
  executors: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      tiers: z.array(tierSchema),
      /** The modes of a policy that it can hold a job to; null: it has asked for no job yet. An instance of an older build does not send it. */
      network: z.array(egressModeSchema).nullable().optional(),
      /** Whether it leases no more jobs, at an admin's request. */
      draining: z.boolean(),
      /** Why it leases nothing by itself: several jobs failed because of its machine. Null: it leases. */
      trouble: z.string().nullable(),
      lastSeenAt: z.string(),
    }),
  ),
  /** Every tier that one of these executors offers. */
  tiers: z.array(tierSchema),
  jobs: z.object({ queued: z.int(), processing: z.int() }),
});
export type Status = z.infer<typeof statusSchema>;
