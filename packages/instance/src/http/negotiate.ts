import { commonVersion, protocolHeader, protocolVersion, upstreamVersion } from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { versionsApart } from '../errors.ts';

const decorator = 'protocolVersion';

/** Names the protocol version in the answer to a request below `/.executors`, whatever the answer is; a hook of the whole server. */
export async function nameVersion(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (request.url.startsWith('/.executors/')) reply.header(protocolHeader, String(protocolVersion));
}

/** Makes the routes of a scope agree on the version of each request before anything else of it is read. Errors: `versions_apart`. */
export function negotiate(scope: FastifyInstance): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
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
