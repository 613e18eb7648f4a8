import { z } from 'zod';
import { queueNameSchema } from '../kinds.ts';
import { executorNameSchema, jobIdSchema } from '../values.ts';

/** Sent with every request on an executor's own routes, and with every answer: the version that its sender speaks. */
export const protocolHeader = 'x-fumehood-protocol';
/** The native extension that this build speaks; docs/protocol-native.md says what each version has. */
export const protocolVersion = 2;
/** The version of a side that sends no header: upstream's protocol, without the extension. */
export const upstreamVersion = 0;
/** The first version with a push stream and with orders in the answer to a heartbeat. */
export const ordersVersion = 2;

/**
 * The version that two sides speak, which is the lower of theirs, as both find out by themselves from the other's header.
 * Null: they are more than one apart, or the header is no version.
 */
export function commonVersion(header: string | null | undefined, own: number): number | null {
  if (header === null || header === undefined) return upstreamVersion;
  const offered = /^[1-9]\d{0,8}$/.test(header) ? Number(header) : Number.NaN;
  return Math.abs(offered - own) <= 1 ? Math.min(offered, own) : null;
}

/** Query of `GET /.executors/queue/push`: 200 with server-sent events until either side goes away. */
export const pushQuerySchema = z.object({ executorName: executorNameSchema });

const attemptOf = { jobId: jobIdSchema, queue: queueNameSchema, attempt: z.int().positive() };

/** What the push stream tells. All of it is only early: the heartbeat says the same, and is the truth. */
export const orderSchema = z.discriminatedUnion('type', [
  /** Stop this attempt, destroy its VM, and let it go with a heartbeat that does not name it. */
  z.object({ type: z.literal('cancel'), ...attemptOf }),
  /** The lease of this attempt is over: nothing of it is accepted any more. */
  z.object({ type: z.literal('lost'), ...attemptOf }),
  /** Whether to lease nothing more; what runs goes on. */
  z.object({ type: z.literal('drain'), draining: z.boolean() }),
  /** There may be work: ask for a lease now. */
  z.object({ type: z.literal('work') }),
]);
export type Order = z.infer<typeof orderSchema>;
