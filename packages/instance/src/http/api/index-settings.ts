import { type IndexSettings, setIndexSettingsSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { readIndexSettings, removeIndexSettings, setIndexSettings } from '../../indexing/settings.ts';
import type { RouteDeps } from '../deps.ts';
import { repositoryParam } from '../params.ts';
import { personOf, requirePerson } from '../person.ts';

/** `/api/index-settings`: what the index jobs of repositories get. */
export function indexSettingsRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get(
    '/api/index-settings/*',
    (request): Promise<IndexSettings> => readIndexSettings(db, repositoryParam(request)),
  );
  app.put('/api/index-settings/*', { schema: { body: setIndexSettingsSchema } }, (request) =>
    setIndexSettings(db, repositoryParam(request), request.body, personOf(request).name),
  );
  app.delete('/api/index-settings/*', async (request, reply) => {
    await removeIndexSettings(db, repositoryParam(request));
    return reply.code(204).send();
  });
}
