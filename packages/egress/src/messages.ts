import {
  brokerGrantSchema,
  egressPolicySchema,
  jobBrokerMax,
  privateHostSchema,
  receiptSchema,
} from '@fumehood/protocol';
import * as z from 'zod';

const id = z.int().positive();

/** The configuration of the process that serves the networks of guests: a JSON file. */
export const egressConfigSchema = z.strictObject({
  /** The name servers that are asked, each as `ADDRESS[:PORT]`; null: those of this machine. */
  nameServers: z
    .array(z.string().regex(/^(\d{1,3}(\.\d{1,3}){3}|\[[\da-f:]+\])(:\d{1,5})?$/i, 'must be ADDRESS[:PORT]'))
    .min(1)
    .max(8)
    .nullable()
    .default(null),
  /** Certificate authorities that are trusted besides those of Node, as PEM: those of this machine, and of its operator. */
  certificates: z.array(z.string()).default([]),
  /** The memory of the process's cgroup; null: it has none. */
  memoryBytes: z.int().positive().nullable().default(null),
  /** The HTTP proxy on the way to other machines, as `HttpProxy` has it; null: there is none. */
  httpProxy: z
    .strictObject({ url: z.url(), except: z.array(z.string()) })
    .nullable()
    .default(null),
});

/** What the helper tells the process that serves the networks of guests. */
export const egressCallSchema = z.discriminatedUnion('type', [
  /** A guest's network. Two messages with its handles follow. */
  z.object({
    type: z.literal('network.open'),
    id,
    policy: egressPolicySchema,
    privateHosts: z.array(privateHostSchema),
    /** The addresses of this machine. */
    own: z.array(z.string().max(64)),
    /** What any guest of this executor may reach: the broker reaches no more. */
    ceiling: egressPolicySchema,
    broker: z.array(brokerGrantSchema).max(jobBrokerMax),
  }),
  z.object({ type: z.literal('network.handle'), id, name: z.enum(['connections', 'questions']) }),
  z.object({ type: z.literal('network.close'), id }),
]);
export type EgressCall = z.infer<typeof egressCallSchema>;

/** What that process tells the helper. */
export const egressAnswerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('network.receipt'), id, receipt: receiptSchema }),
  /** No receipt follows. */
  z.object({ type: z.literal('network.closed'), id }),
]);
export type EgressAnswer = z.infer<typeof egressAnswerSchema>;
