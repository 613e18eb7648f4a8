import type { FastifyReply } from 'fastify';

/** Aborted when the client is gone before its answer was written, or the instance is about to close. */
export function goneSignal(reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  const closed = new AbortController();
  reply.raw.once('close', () => closed.abort());
  return AbortSignal.any([closed.signal, stopping]);
}
