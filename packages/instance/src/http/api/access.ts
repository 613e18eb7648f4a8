import {
  createCredentialSchema,
  createJoinTokenSchema,
  createTokenSchema,
  createUserSchema,
  revokeCredentialQuerySchema,
  rotateCredentialSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import {
  createCredential,
  endRotation,
  listCredentials,
  revokeCredential,
  rotateCredential,
} from '../../auth/credentials.ts';
import { createJoinToken } from '../../auth/join.ts';
import { createToken, listTokens, revokeToken } from '../../auth/tokens.ts';
import { createUser, listUsers } from '../../auth/users.ts';
import type { RouteDeps } from '../deps.ts';
import { idParam } from '../params.ts';
import { personOf, requirePerson } from '../person.ts';

const tokenParams = z.object({ token: idParam });
const credentialParams = z.object({ credential: idParam });

/** `/api/access`: users, access tokens, and credentials of executors. */
export function accessRoutes(scope: FastifyInstance, { db, url }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  // An answer can hold a secret.
  scope.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'));

  app.get('/api/access/users', async () => ({ users: await listUsers(db) }));
  app.post('/api/access/users', { schema: { body: createUserSchema } }, async (request, reply) =>
    reply.code(201).send(await createUser(db, request.body)),
  );

  app.get('/api/access/tokens', async (request) => ({ tokens: await listTokens(db, personOf(request)) }));
  app.post('/api/access/tokens', { schema: { body: createTokenSchema } }, async (request, reply) =>
    reply.code(201).send(await createToken(db, personOf(request), request.body)),
  );
  app.post(
    '/api/access/tokens/:token/revoke',
    { schema: { params: tokenParams } },
    async (request, reply) => {
      await revokeToken(db, personOf(request), request.params.token);
      return reply.code(204).send();
    },
  );

  app.post('/api/access/join-tokens', { schema: { body: createJoinTokenSchema } }, async (request, reply) =>
    reply.code(201).send({ ...(await createJoinToken(db, request.body)), instanceUrl: url }),
  );

  const credentials = '/api/access/executor-credentials';
  app.get(credentials, async () => ({ credentials: await listCredentials(db) }));
  app.post(credentials, { schema: { body: createCredentialSchema } }, async (request, reply) =>
    reply.code(201).send(await createCredential(db, request.body)),
  );
  app.post(
    `${credentials}/:credential/rotate`,
    { schema: { params: credentialParams, body: rotateCredentialSchema } },
    async (request, reply) => {
      const made = await rotateCredential(db, request.params.credential, request.body.overlapMs);
      return reply.code(201).send(made);
    },
  );
  app.post(
    `${credentials}/:credential/revoke`,
    { schema: { params: credentialParams, querystring: revokeCredentialQuerySchema } },
    async (request, reply) => {
      const end = request.query.replaced === 'true' ? endRotation : revokeCredential;
      await end(db, request.params.credential);
      return reply.code(204).send();
    },
  );
}
