import type { FastifyRequest } from 'fastify';
import { hostUnknown } from '../errors.ts';

/**
 * Returns a hook that refuses requests with another host than loopback or one of these names. A web page whose name was pointed at
 * this machine (DNS rebinding) sends its own name. Errors: `host_unknown`.
 */
export function onlyHosts(names: readonly string[]): (request: FastifyRequest) => Promise<void> {
  const known = new Set(['127.0.0.1', 'localhost', '[::1]', ...names.map((name) => name.toLowerCase())]);
  return async (request) => {
    const host = request.headers.host ?? '';
    if (!known.has(host.toLowerCase().replace(/:\d+$/, ''))) throw hostUnknown(host);
  };
}
