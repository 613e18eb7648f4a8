import * as z from 'zod';
import { queueNameSchema } from '../kinds.ts';
import { executorNameSchema, jobIdSchema } from '../values.ts';

/** Header of every request on an executor's own routes, and of every answer: the version that the sender speaks. */
export const protocolHeader = 'x-fumehood-protocol';
/** The version of the native extension that this build speaks; docs/protocol-native.md describes each version. */
export const protocolVersion = 4;
/** The version of a side that sends no header: upstream's protocol, without the extension. */
export const upstreamVersion = 0;
/** The first version with the push stream, and with `fumehood` in the answer to a heartbeat. */
export const ordersVersion = 2;
/**
 * The first version with `network` in a dequeue, and whose executors understand all of a native job: one of an earlier version may ignore
 * its `network`, `workspace`, `artifacts`, `terminal` and `secrets`.
 */
export const wholeJobVersion = 3;
/** The first version whose executors run the jobs of batch changes, step by step (`batch.ts`). */
export const batchVersion = 4;

/**
 * Returns the version that both sides speak: the lower one of `own` and the other side's header. Null when they are more than one
 * apart, or when the header is no version.
 */
export function commonVersion(header: string | null | undefined, own: number): number | null {
  if (header === null || header === undefined) return upstreamVersion;
  const offered = /^[1-9]\d{0,8}$/.test(header) ? Number(header) : Number.NaN;
  return Math.abs(offered - own) <= 1 ? Math.min(offered, own) : null;
}

/**
 * Where an executor runs: the same text each time that it starts there, and another one for every other executor, such as a hash of
 * the machine's boot id and the executor's directory. It tells an executor that starts again from another one with the same name.
 */
export const machineSchema = z.string().min(1).max(200);

/** Query of `GET /.executors/queue/push`: 200 with server-sent events until either side goes away. */
export const pushQuerySchema = z.object({
  executorName: executorNameSchema,
  machine: machineSchema.optional(),
});

const attemptOf = { jobId: jobIdSchema, queue: queueNameSchema, attempt: z.int().positive() };

/** An order on the push stream. It only comes early: the next heartbeat says the same, and is decisive. */
export const orderSchema = z.discriminatedUnion('type', [
  /** Stop this attempt, whose step has its grace period, destroy its VM, and send a heartbeat that does not name it. */
  z.object({ type: z.literal('cancel'), ...attemptOf }),
  /** The lease of this attempt is over: the instance accepts nothing more of it. */
  z.object({ type: z.literal('lost'), ...attemptOf }),
  /** Lease no more jobs while `draining`; jobs that run go on. */
  z.object({ type: z.literal('drain'), draining: z.boolean() }),
  /** There may be a job: ask for a lease now. */
  z.object({ type: z.literal('work') }),
]);
export type Order = z.infer<typeof orderSchema>;
