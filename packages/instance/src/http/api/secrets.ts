import { type SecretRecord, secretNameSchema, setSecretSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listSecrets, removeSecret, setSecret } from '../../secrets/secrets.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ name: secretNameSchema });

/** `/api/secrets`: the secrets of the user who asks, for the steps of this user's jobs. No answer has a value. */
export function secretRoutes(scope: FastifyInstance, { db, vault }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/secrets', async (request): Promise<{ secrets: SecretRecord[] }> => {
    return { secrets: await listSecrets(db, personOf(request).name) };
  });
  app.put('/api/secrets/:name', { schema: { params, body: setSecretSchema } }, (request) => {
    const { name } = request.params;
    return setSecret(db, vault, { tenant: personOf(request).name, name, value: request.body.value });
  });
  app.delete('/api/secrets/:name', { schema: { params } }, async (request, reply) => {
    await removeSecret(db, personOf(request).name, request.params.name);
    return reply.code(204).send();
  });
}
