import type { FastifyInstance } from 'fastify';
import { requireCredential } from '../credential.ts';
import type { RouteDeps } from '../deps.ts';
import { negotiate } from '../negotiate.ts';

/** `GET /.executors/test/auth`: 200 `ok` for a valid credential. Upstream's `validate` also asks below the prefix of the queues. */
export function authTestRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  negotiate(scope);
  requireCredential(scope, db);
  for (const prefix of ['', '/.executors/queue'])
    scope.get(`${prefix}/.executors/test/auth`, async (_request, reply) =>
      reply.type('text/plain').send('ok'),
    );
}
