import * as z from 'zod';
import { askedEgressSchema, egressPolicySchema } from '../egress-policy.ts';
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

/** `GET /api/network/ceilings` */
export const ceilingRecordSchema = networkCeilingSchema.extend({ createdAt: z.string() });
export const ceilingRecordsSchema = z.object({ ceilings: z.array(ceilingRecordSchema) });
export type CeilingRecord = z.infer<typeof ceilingRecordSchema>;

/** Whose jobs a ceiling is for. `DELETE /api/network/ceilings?queue=QUEUE&tenant=TENANT`: 204. */
export const ceilingOfSchema = z.object({
  queue: queueNameSchema.optional(),
  tenant: z.string().min(1).max(200).optional(),
});
export type CeilingOf = z.infer<typeof ceilingOfSchema>;

/** `PUT /api/network/ceilings`: 200 with the ceiling, which replaces an earlier one for the same jobs. */
export const setCeilingSchema = ceilingOfSchema.extend({
  policy: askedEgressSchema.refine(({ mode }) => mode !== 'learn', 'is none of a ceiling: use `public`'),
});
export type SetCeiling = z.input<typeof setCeilingSchema>;
