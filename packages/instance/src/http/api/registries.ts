import { type RegistryCredential, registryHostSchema, setRegistryCredentialSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listRegistries, removeRegistry, setRegistry } from '../../secrets/registries.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const params = z.object({ host: registryHostSchema });

/** `/api/registries`: the credentials for registries that executors get with jobs. No answer has a password. */
export function registryRoutes(scope: FastifyInstance, { db, vault }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/registries', async (): Promise<{ registries: RegistryCredential[] }> => {
    return { registries: await listRegistries(db) };
  });
  app.put('/api/registries/:host', { schema: { params, body: setRegistryCredentialSchema } }, (request) =>
    setRegistry(db, vault, request.params.host, request.body),
  );
  app.delete('/api/registries/:host', { schema: { params } }, async (request, reply) => {
    await removeRegistry(db, request.params.host);
    return reply.code(204).send();
  });
}
