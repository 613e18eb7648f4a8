import * as z from 'zod';

const count = z.int().nonnegative();

/** What a guest can ask of the network. */
export const receiptKindSchema = z.enum(['lookup', 'connection']);

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
]);
export type Refusal = z.infer<typeof refusalSchema>;

/** What a guest asked of the network, and what became of it. */
export const receiptSchema = z.strictObject({
  /** When it was asked, ms since 1970. */
  at: count,
  kind: receiptKindSchema,
  /** The name of a lookup; of a connection the name by which its address was found, or null. */
  name: z.string().max(253).nullable(),
  address: z.string().max(45).nullable(),
  port: z.int().min(0).max(65_535).nullable(),
  /** The name that the guest asked a TLS server for; null if it asked for none, or nobody looked. */
  serverName: z.string().max(253).nullable(),
  sentBytes: count,
  receivedBytes: count,
  /** `failed`: it was allowed, and there was no such name, or no answer. */
  verdict: z.enum(['allowed', 'refused', 'failed']),
  /** The rule that decided, or why it failed. */
  rule: z.string().max(300),
  /** Why it was refused. Of what the policy `learn` allowed: why no policy `allow` would. Else null. */
  reason: refusalSchema.nullable(),
});
export type Receipt = z.infer<typeof receiptSchema>;

/** A receipt of an attempt. */
export const jobReceiptSchema = receiptSchema.extend({
  /** The key of the step that ran, such as `step.docker.0`; null before the first one and between two. */
  step: z.string().max(200).nullable(),
});
export type JobReceipt = z.infer<typeof jobReceiptSchema>;
