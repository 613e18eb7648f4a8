import { commonVersion, protocolHeader, protocolVersion, upstreamVersion } from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { versionsApart } from '../errors.ts';

const decorator = 'protocolVersion';

/**
 * Makes the routes of a scope name their protocol version in every answer, and agree on the version of each request before anything
 * else of it is read. Errors: `versions_apart`.
 */
export function negotiate(scope: FastifyInstance): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request, reply) => {
    reply.header(protocolHeader, String(protocolVersion));
    const offered = request.headers[protocolHeader]?.toString();
    const version = commonVersion(offered, protocolVersion);
    if (version === null) throw versionsApart(offered ?? '', protocolVersion);
    request.setDecorator<number>(decorator, version);
  });
}

/** Returns the protocol version of a request; 0 is upstream's protocol. */
export function versionOf(request: FastifyRequest): number {
  return request.getDecorator<number>(decorator);
}

/** Returns whether the executor speaks the native extension, in any version. */
export const isNative = (request: FastifyRequest) => versionOf(request) > upstreamVersion;
