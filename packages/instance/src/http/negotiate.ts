import { commonVersion, protocolHeader, protocolVersion, upstreamVersion } from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { versionsApart } from '../errors.ts';

const decorator = 'protocolVersion';

/** Has the routes of a scope say which version they speak, and agree on one with each request before anything else of it is read. */
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

/** The version that a request's sender and we speak; 0 is upstream's protocol. */
export function versionOf(request: FastifyRequest): number {
  return request.getDecorator<number>(decorator);
}

/** The executor speaks the extension, in any version. */
export const isNative = (request: FastifyRequest) => versionOf(request) > upstreamVersion;
