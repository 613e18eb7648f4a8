import * as z from 'zod';

const count = z.int().nonnegative();

/** What a guest asked of the network, and what became of it. */
export const receiptSchema = z.strictObject({
  /** When it was asked, ms since 1970. */
  at: count,
  kind: z.enum(['lookup', 'connection']),
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
});
export type Receipt = z.infer<typeof receiptSchema>;
