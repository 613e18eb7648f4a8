import type { FastifyRequest } from 'fastify';
import { hostUnknown } from '../errors.ts';

/**
 * Refuses requests that name another host than ours: a page of the web whose name was pointed at this machine (DNS rebinding)
 * says its own name.
 */
export function onlyHosts(names: readonly string[]): (request: FastifyRequest) => Promise<void> {
  const known = new Set(['127.0.0.1', 'localhost', '[::1]', ...names.map((name) => name.toLowerCase())]);
  return async (request) => {
    const host = request.headers.host ?? '';
    if (!known.has(host.toLowerCase().replace(/:\d+$/, ''))) throw hostUnknown(host);
  };
}
