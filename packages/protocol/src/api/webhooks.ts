import * as z from 'zod';
import { storedRepositorySchema, webhookStateSchema } from './repositories.ts';

/** `GET /api/webhooks/{name}`: the webhook of a repository, without its secret. `DELETE`: 204. */
export const webhookSchema = webhookStateSchema.extend({
  repository: storedRepositorySchema,
  /** Where the code host posts deliveries; null if the instance does not know its address. */
  url: z.string().nullable(),
  /** The path of it, below the address of the instance. */
  path: z.string(),
  /** The name of the user. */
  setBy: z.string(),
});
export type Webhook = z.infer<typeof webhookSchema>;

/** `PUT /api/webhooks/{name}`: 200 with the webhook. An earlier secret is not valid any more. */
export const setWebhookSchema = z.strictObject({
  /** Missing: the instance makes one. */
  secret: z
    .string()
    .min(16, 'must have at least 16 characters')
    .max(200)
    .regex(/^[\x21-\x7e]+$/, 'must have printable ASCII characters and no blanks')
    .optional(),
});
export type SetWebhook = z.input<typeof setWebhookSchema>;

/** The answer to `PUT /api/webhooks/{name}`. */
export const madeWebhookSchema = webhookSchema.extend({
  /** The secret that the instance made, which no other answer has; null if the request had one. */
  secret: z.string().nullable(),
});
export type MadeWebhook = z.infer<typeof madeWebhookSchema>;
