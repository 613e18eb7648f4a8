import type { FastifyInstance } from 'fastify';
import { revokeCredential } from '../../auth/credentials.ts';
import { credentialOf, requireCredential } from '../credential.ts';
import type { RouteDeps } from '../deps.ts';

/** `POST /.executors/leave`: revokes the credential of the request, for an executor that never comes back. 204. */
export function leaveRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  requireCredential(scope, db);
  scope.post('/.executors/leave', async (request, reply) => {
    await revokeCredential(db, credentialOf(request).id);
    return reply.code(204).send();
  });
}
