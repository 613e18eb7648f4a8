import * as z from 'zod';
import { brokerEntrySchema, brokerHeaderSchema } from '../broker.ts';
import { queueNameSchema } from '../kinds.ts';
import { repositoryNameSchema } from '../values.ts';

/** Sorts what jobs of an entry have in common; null: anything. */
const anyOf = <T extends z.ZodType<string>>(one: T) =>
  z
    .array(one)
    .min(1)
    .max(100)
    .transform((names) => [...new Set(names)].sort())
    .nullable()
    .default(null);
const userSchema = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII')
  .regex(/^[^:]*$/, 'must not hold a colon');

/** `GET /api/broker`: the entries of the broker, without their secrets, which no answer ever has. */
export const brokerRecordSchema = brokerEntrySchema.extend({
  /** The field of HTTP that has the credential; null: the entry has none. */
  header: z.string().nullable(),
  /** The user of a basic credential. */
  username: z.string().nullable(),
  /** Whose jobs get it; null: those of all queues, and of all repositories. */
  queues: z.array(queueNameSchema).nullable(),
  repositories: z.array(repositoryNameSchema).nullable(),
  createdAt: z.string(),
});
export const brokerRecordsSchema = z.object({ entries: z.array(brokerRecordSchema) });
export type BrokerRecord = z.infer<typeof brokerRecordSchema>;

/** `PUT /api/broker/{name}`: 200 with the entry, which replaces an earlier one. `DELETE /api/broker/{name}`: 204. */
export const setBrokerSchema = brokerEntrySchema
  .omit({ name: true })
  .extend({
    /** With it, the secret is the password of a basic credential. */
    username: userSchema.nullable().default(null),
    /** The field of HTTP whose whole value the secret is, such as `authorization` for `Bearer …`. */
    header: brokerHeaderSchema.nullable().default(null),
    secret: z
      .string()
      .min(1)
      .max(16_384)
      .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII')
      .nullable()
      .default(null),
    queues: anyOf(queueNameSchema),
    repositories: anyOf(repositoryNameSchema),
  })
  .superRefine(({ kind, url, methods, username, header, secret }, context) => {
    const refuse = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (username !== null && header !== null)
      refuse('header', 'goes with no username: an entry has one credential');
    if ((secret === null) !== (username === null && header === null))
      refuse('secret', 'needs a username or a header, and they need a secret');
    if (secret !== null && !url.startsWith('https:'))
      refuse('url', 'must be https: the credential would cross the network in the open');
    if (kind !== 'http' && methods.join() !== 'GET,HEAD')
      refuse('methods', 'are those of its own for each kind but http');
  });
export type SetBroker = z.input<typeof setBrokerSchema>;
