import { type Dependencies, dependenciesQuerySchema, setDependencyIndexingSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import {
  listDependencies,
  readDependencyIndexing,
  removeDependencyIndexing,
  setDependencyIndexing,
} from '../../dependencies/records.ts';
import { readRepository } from '../../repos/records.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

/** `/api/dependencies` and `/api/dependency-indexing`: the packages that repositories depend on, and whether they are indexed. */
export function dependencyRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get(
    '/api/dependencies',
    { schema: { querystring: dependenciesQuerySchema } },
    async (request): Promise<Dependencies> => {
      const { repository } = request.query;
      if (repository !== undefined) await readRepository(db, repository);
      return {
        indexing: await readDependencyIndexing(db),
        dependencies: await listDependencies(db, repository ?? null),
      };
    },
  );
  app.put('/api/dependency-indexing', { schema: { body: setDependencyIndexingSchema } }, (request) =>
    setDependencyIndexing(db, personOf(request).name, request.body),
  );
  app.delete('/api/dependency-indexing', async (_request, reply) => {
    await removeDependencyIndexing(db);
    return reply.code(204).send();
  });
}
