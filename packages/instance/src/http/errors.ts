import { type ErrorFacts, factsOf, FumehoodError } from '@fumehood/base';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { storageFull } from '../errors.ts';

/** Codes of PostgreSQL's that mean: it is away or going away. */
const unavailable = /^(57P0[123]|53300|08\w{3}|ECONNREFUSED|ECONNRESET|ENOENT|EPIPE)$/;

/** PostgreSQL's and the system's, of a request that finds no room. */
const full = /^(53100|ENOSPC|EDQUOT)$/;

/** Answers an error as its side of the instance does: upstream's forms for executors, ours for people. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = knownError(error);
  if (!known) request.log.error({ error, url: request.url }, 'a request failed');
  const { code, message, remedy, status = 500, details }: ErrorFacts = known ?? internal();
  if (!request.url.startsWith('/.executors/')) {
    reply.code(status).send({ error: { code, message, ...(remedy && { remedy }) } });
  } else if (code === 'lease_lost' && request.url.startsWith('/.executors/queue/')) {
    // Upstream's one answer to every write under a lease that is over; a mark has its own.
    reply.code(500).send({ error: 'unknown job' });
  } else if (status === 400 || status === 401 || status === 403) {
    reply.code(status).type('text/plain; charset=utf-8').send(message);
  } else if (status === 500) {
    reply.code(status).send({ error: message });
  } else {
    reply.code(status).send({ error: message, code, ...(remedy && { remedy }), ...details });
  }
}

function knownError(error: unknown): ErrorFacts | null {
  if (error instanceof FumehoodError) return factsOf(error);
  const { statusCode, code, message } = error as FastifyError;
  if (full.test(code ?? '')) return factsOf(storageFull());
  if (unavailable.test(code ?? '') || /Connection terminated|timeout exceeded when trying/.test(message)) {
    return {
      status: 503,
      code: 'database_unavailable',
      message: 'the database does not answer',
      remedy: 'Try again.',
    };
  }
  if (statusCode !== undefined && statusCode < 500)
    return { status: statusCode, code: 'invalid_request', message };
  return null;
}

function internal(): ErrorFacts {
  return {
    code: 'internal',
    message: 'something went wrong in the instance',
    remedy: 'Its log says what.',
  };
}
