import type { FastifyReply } from 'fastify';

/** Aborted when the client is gone before its answer was written, or the instance is about to close. */
export function goneSignal(reply: FastifyReply, ...others: AbortSignal[]): AbortSignal {
  const closed = new AbortController();
  reply.raw.once('close', () => closed.abort());
  if (reply.raw.closed) closed.abort(); // and says so no more
  return AbortSignal.any([closed.signal, ...others]);
}
