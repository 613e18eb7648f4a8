import * as z from 'zod';
import { egressPolicySchema } from '../egress-policy.ts';
import { queueNameSchema } from '../kinds.ts';

/**
 * What jobs may reach over the network at most. It is for the jobs of one queue, of one tenant, or of one tenant in one queue; null stands
 * for every queue, or every tenant.
 */
export const networkCeilingSchema = z.object({
  queue: queueNameSchema.nullable(),
  tenant: z.string().nullable(),
  policy: egressPolicySchema,
});
export type NetworkCeiling = z.infer<typeof networkCeilingSchema>;
