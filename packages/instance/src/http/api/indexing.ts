import {
  createIndexingSchema,
  type Indexers,
  indexLanguageSchema,
  setIndexerSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listIndexers, resetIndexer, setIndexer } from '../../indexing/indexers.ts';
import { indexCommit } from '../../indexing/index-commit.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ language: indexLanguageSchema });

/** `/api/indexings` and `/api/indexers`: has commits indexed, and by which images. */
export function indexingRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db } = deps;
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.post('/api/indexings', { schema: { body: createIndexingSchema } }, (request) =>
    indexCommit(deps, personOf(request).name, request.body),
  );
  app.get(
    '/api/indexers',
    async (): Promise<{ indexers: Indexers }> => ({ indexers: await listIndexers(db) }),
  );
  app.put(
    '/api/indexers/:language',
    { schema: { params, body: setIndexerSchema } },
    async (request, reply) => {
      await setIndexer(db, request.params.language, request.body.image);
      return reply.code(204).send();
    },
  );
  app.delete('/api/indexers/:language', { schema: { params } }, async (request, reply) => {
    await resetIndexer(db, request.params.language);
    return reply.code(204).send();
  });
}
