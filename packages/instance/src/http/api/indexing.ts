import {
  accessNameSchema,
  createIndexingSchema,
  type IndexPolicy,
  type IndexStatus,
  indexStatusQuerySchema,
  setIndexPolicySchema,
  type Indexers,
  indexLanguageSchema,
  setIndexerSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listIndexers, resetIndexer, setIndexer } from '../../indexing/indexers.ts';
import { listIndexPolicies, removeIndexPolicy, setIndexPolicy } from '../../indexing/records.ts';
import { indexCommit } from '../../indexing/index-commit.ts';
import { readIndexStatus } from '../../indexing/status.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const policyParams = z.object({ name: accessNameSchema });
const params = z.object({ language: indexLanguageSchema });

/** `/api/indexings`, `/api/index-policies` and `/api/indexers`: which commits are indexed, and by which images. */
export function indexingRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db } = deps;
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.post('/api/indexings', { schema: { body: createIndexingSchema } }, (request) =>
    indexCommit(deps, { tenant: personOf(request).name, policy: null }, request.body),
  );
  app.get(
    '/api/indexings',
    { schema: { querystring: indexStatusQuerySchema } },
    (request): Promise<IndexStatus> => readIndexStatus(deps, request.query.repository),
  );
  app.get(
    '/api/index-policies',
    async (): Promise<{ policies: IndexPolicy[] }> => ({
      policies: await listIndexPolicies(db),
    }),
  );
  app.put(
    '/api/index-policies/:name',
    { schema: { params: policyParams, body: setIndexPolicySchema } },
    (request) => setIndexPolicy(db, request.params.name, personOf(request).name, request.body),
  );
  app.delete('/api/index-policies/:name', { schema: { params: policyParams } }, async (request, reply) => {
    await removeIndexPolicy(db, request.params.name);
    return reply.code(204).send();
  });
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
