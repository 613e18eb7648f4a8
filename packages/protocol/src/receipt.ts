import * as z from 'zod';

const count = z.int().nonnegative();

/** What a guest can ask of the network; `omitted` stands for many things that it asked too fast, whose number is in `rule`. */
export const receiptKindSchema = z.enum(['lookup', 'connection', 'broker', 'omitted']);

/** Why something was refused. The text of `rule` says it with names and numbers. */
export const refusalSchema = z.enum([
  /** The policy does not have the name. */
  'policy_name',
  /** The policy has the name of the address, and not this port of it. */
  'policy_port',
  /** The policy has no name that has led to the address. */
  'policy_address',
  /** The address is not on the public internet, or it is one of the executor's host. */
  'not_public',
  /** The name of the TLS hello is none of the address, or there is none. */
  'server_name',
  /** The TLS hello cannot be relied on, such as one with an encrypted name. */
  'hello',
  /** Too many connections at the same time, or new ones in a second. */
  'connections',
  'connection_rate',
  /** Too many bytes in all, or in a second. */
  'bytes',
  'byte_rate',
  /** Too many questions in a second, a name that is too long, or too many addresses in the answers. */
  'questions',
  'name_length',
  'addresses',
  /** What the broker does not do. */
  'broker',
  /** The process that served the network has ended, and with it all of its connections. */
  'gateway_ended',
]);
export type Refusal = z.infer<typeof refusalSchema>;

/** What a guest asked of the network, and what became of it. The descriptions are a part of the published schema. */
export const receiptSchema = z.strictObject({
  at: count.describe('When it was asked, ms since 1970.'),
  kind: receiptKindSchema,
  name: z
    .string()
    .max(253)
    .nullable()
    .describe(
      'The name of a lookup; of a connection the name by which its address was found; of a request to the broker its server; or null.',
    ),
  address: z.string().max(45).nullable().describe('The address of a connection.'),
  port: z.int().min(0).max(65_535).nullable().describe('The port of a connection.'),
  serverName: z
    .string()
    .max(253)
    .nullable()
    .describe('The name that the guest asked a TLS server for; null if it asked for none, or nobody looked.'),
  sentBytes: count.describe('Bytes that the guest sent.'),
  receivedBytes: count.describe('Bytes that the guest received.'),
  verdict: z
    .enum(['allowed', 'refused', 'failed'])
    .describe('`failed`: it was allowed, and there was no such name, or no answer.'),
  rule: z.string().max(600).describe('The rule that decided, or why it failed.'),
  reason: refusalSchema.nullable(),
});
export type Receipt = z.infer<typeof receiptSchema>;

/** Receipts that are kept of an attempt: so many at the beginning, and as many at the end. */
export const receiptsKept = 500;

/** A value of a list, or one that a later version adds to it. */
const orLater = (known: z.ZodEnum<Record<string, string>>) =>
  z.union([known, z.string().regex(/^[a-z_]{1,40}$/)]);

/** A receipt of an attempt, as the instance keeps it. docs/receipt.schema.json is its JSON Schema. */
export const jobReceiptSchema = z.object({
  seq: count.describe('Counts the receipts of the attempt from 0.'),
  step: z
    .string()
    .max(200)
    .nullable()
    .describe(
      'The key of the log entry of the step that ran then, such as `step.docker.0`; null before the first step and between two.',
    ),
  ...receiptSchema.shape,
  kind: orLater(receiptKindSchema).describe('What was asked. A later version may have more kinds.'),
  reason: orLater(refusalSchema)
    .nullable()
    .describe(
      'Why it was refused. Of what the policy `learn` allowed: why no policy `allow` would. Else null. A later version may have more reasons.',
    ),
});
export type JobReceipt = z.infer<typeof jobReceiptSchema>;
