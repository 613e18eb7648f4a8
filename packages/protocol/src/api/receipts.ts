import * as z from 'zod';
import { egressPolicySchema } from '../egress-policy.ts';
import { jobReceiptSchema } from '../receipt.ts';
import { numberInText } from '../values.ts';

/** Query of `GET /api/jobs/{id}/network`. Without `attempt` the answer is about the last one. */
export const jobNetworkQuerySchema = z.object({
  attempt: numberInText.pipe(z.int32().positive()).optional(),
});

/** `GET /api/jobs/{id}/network`: what an attempt has asked of the network so far, and what became of it. */
export const jobNetworkSchema = z.object({
  /** 0: no attempt has begun. */
  attempt: z.int().nonnegative(),
  /** What applied: what the job asked for, within every ceiling. Null: the executor has said nothing of the network yet. */
  policy: egressPolicySchema.nullable(),
  /** The first and the last ones, by `seq`. */
  receipts: z.array(jobReceiptSchema),
  /** How many receipts there were, and how many of them between the first and the last ones were not kept. */
  total: z.int().nonnegative(),
  dropped: z.int().nonnegative(),
  /** The executor has said that no receipt follows. */
  ended: z.boolean(),
});
export type JobNetwork = z.infer<typeof jobNetworkSchema>;
