import { executorNameHeader, jobIdHeader } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { badRequest, unauthorized } from '../errors.ts';

/**
 * Returns the secret of the header `Authorization: <scheme> <secret>`, in one of the schemes. Errors: `unauthorized`. Statuses
 * and texts are upstream's, except that a wrong scheme is not repeated in the answer.
 */
export function secretIn(request: FastifyRequest, schemes: readonly string[]): string {
  const parts = (request.headers.authorization ?? '').split(' ');
  const form = schemes.map((scheme) => `"${scheme} TOKEN"`).join(' or ');
  // Node trims the blank that precedes an empty secret.
  if (parts.length === 1 && schemes.includes(parts[0] as string)) throw noSecret();
  if (parts.length !== 2)
    throw unauthorized(`HTTP Authorization request header value must be of the following form: ${form}`);
  const [scheme, secret] = parts as [string, string];
  if (!schemes.includes(scheme)) {
    const supported = schemes.map((name) => `"${name}"`).join(', ');
    throw unauthorized(
      `unrecognized HTTP Authorization request header scheme (supported values: ${supported})`,
    );
  }
  if (secret === '') throw noSecret();
  return secret;
}

const noSecret = () => unauthorized('no token value in the HTTP Authorization request header');

/** Returns the executor's name from a request's header. Errors: `invalid_request`. */
export function executorIn(request: FastifyRequest): string {
  const executor = request.headers[executorNameHeader];
  if (typeof executor !== 'string' || executor === '') throw badRequest('worker hostname cannot be empty');
  return executor;
}

/** Returns the job's id from a request's header. Errors: `invalid_request`, in upstream's words. */
export function jobIdIn(request: FastifyRequest): number {
  const value = request.headers[jobIdHeader];
  if (typeof value !== 'string' || value === '')
    throw badRequest("job ID not provided in header 'X-Sourcegraph-Job-ID'");
  if (!/^[+-]?\d{1,15}$/.test(value))
    throw badRequest(
      `failed to parse Job ID: strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  return Number(value);
}
