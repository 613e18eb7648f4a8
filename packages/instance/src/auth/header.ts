import { executorNameHeader, jobIdHeader } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { badRequest, unauthorized } from '../errors.ts';

/**
 * The secret in `Authorization: <scheme> <secret>`, in one of the schemes. Statuses and texts are upstream's (reference §1.2,
 * §1.3), except that the wrong scheme of a request is not repeated to it.
 */
export function secretIn(request: FastifyRequest, schemes: readonly string[]): string {
  const parts = (request.headers.authorization ?? '').split(' ');
  const form = schemes.map((scheme) => `"${scheme} TOKEN"`).join(' or ');
  // Node takes the blank away that an empty secret leaves.
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

/** The executor that a request names in its header. */
export function executorIn(request: FastifyRequest): string {
  const executor = request.headers[executorNameHeader];
  if (typeof executor !== 'string' || executor === '') throw badRequest('worker hostname cannot be empty');
  return executor;
}

/** The job that a request names in its header. */
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
