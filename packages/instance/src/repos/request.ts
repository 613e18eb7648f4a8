import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { FastifyRequest } from 'fastify';
import { requestBroken, requestTooBig } from './errors.ts';

/** What a client says is wanted and had, bytes: what git itself takes of it at once, and far more than any clone needs. */
export const requestMax = 10 * 2 ** 20;

const unpack = promisify(gunzip);

/**
 * The body of a request as git is to read it. Git clients gzip a long one, and git would unpack it to any size. Errors:
 * `request_too_big`, `invalid_request`.
 */
export async function unpacked(request: FastifyRequest): Promise<Buffer> {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  if (!/^(x-)?gzip$/.test(request.headers['content-encoding'] ?? '')) return body;
  try {
    return await unpack(body, { maxOutputLength: requestMax });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === 'ERR_BUFFER_TOO_LARGE' ? requestTooBig(requestMax) : requestBroken(message);
  }
}
