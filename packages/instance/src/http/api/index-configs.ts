import { type IndexConfig, setIndexConfigSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { readIndexConfig, removeIndexConfig, setIndexConfig } from '../../indexing/configs.ts';
import type { RouteDeps } from '../deps.ts';
import { repositoryParam } from '../params.ts';
import { personOf, requirePerson } from '../person.ts';

/** `/api/index-configs`: how repositories are indexed, whatever their commits say. */
export function indexConfigRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get(
    '/api/index-configs/*',
    (request): Promise<IndexConfig> => readIndexConfig(db, repositoryParam(request)),
  );
  app.put('/api/index-configs/*', { schema: { body: setIndexConfigSchema } }, (request) =>
    setIndexConfig(db, repositoryParam(request), { text: request.body.text, setBy: personOf(request).name }),
  );
  app.delete('/api/index-configs/*', async (request, reply) => {
    await removeIndexConfig(db, repositoryParam(request));
    return reply.code(204).send();
  });
}
