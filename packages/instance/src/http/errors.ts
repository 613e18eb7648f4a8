import { type ErrorFacts, factsOf, FumehoodError } from '@fumehood/base';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { storageFull } from '../errors.ts';

/** Codes of PostgreSQL and of the system that mean that the database is away or going away. */
const unavailable = /^(57P0[123]|53300|08\w{3}|ECONNREFUSED|ECONNRESET|ENOENT|EPIPE)$/;

/** Codes of PostgreSQL and of the system that mean that a disk is full. */
const full = /^(53100|ENOSPC|EDQUOT)$/;

/**
 * Codes of PostgreSQL for a value that no column can hold: a number or a time out of range, a text with a NUL. The schemas refuse
 * such values before; one that they miss is answered with 400, so that nobody repeats the request for ever.
 */
const unstorable = /^22(?:003|007|008|009|021|P02|P05)$/;

/** Answers a request with an error: in upstream's forms below `/.executors`, in our own elsewhere. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = knownError(error);
  if (!known) request.log.error({ error, url: request.url }, 'a request failed');
  const { code, message, remedy, status = 500, details }: ErrorFacts = known ?? internal();
  if (!request.url.startsWith('/.executors/')) {
    reply.code(status).send({ error: { code, message, ...(remedy && { remedy }) } });
  } else if (code === 'lease_lost' && request.url.startsWith('/.executors/queue/')) {
    // Upstream answers every write after the end of its lease like this, except a mark.
    reply.code(500).send({ error: 'unknown job' });
  } else if (status === 400 || status === 401 || status === 403) {
    reply.code(status).type('text/plain; charset=utf-8').send(message);
  } else if (status === 500) {
    reply.code(status).send({ error: message });
  } else {
    reply.code(status).send({ error: message, code, ...(remedy && { remedy }), ...details });
  }
}

/** Returns the answer to an error; null for an unexpected one. */
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
  if (unstorable.test(code ?? ''))
    return {
      status: 400,
      code: 'invalid_request',
      message: 'a number, a time or a text of the request is out of the range that can be stored',
    };
  if (statusCode !== undefined && statusCode < 500)
    return { status: statusCode, code: 'invalid_request', message };
  return null;
}

function internal(): ErrorFacts {
  return {
    code: 'internal',
    message: 'something went wrong in the instance',
    remedy: 'Look into its log.',
  };
}
