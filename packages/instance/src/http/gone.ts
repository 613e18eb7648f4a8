import type { FastifyReply } from 'fastify';

/** Returns a signal that is aborted when the client's connection closes, or when one of the other signals is. */
export function goneSignal(reply: FastifyReply, ...others: AbortSignal[]): AbortSignal {
  const closed = new AbortController();
  reply.raw.once('close', () => closed.abort());
  if (reply.raw.closed) closed.abort(); // the event has passed
  return AbortSignal.any([closed.signal, ...others]);
}
