import { codeFileQuerySchema, codePageQuerySchema, codeQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import {
  findCallers,
  findDefinitions,
  findHover,
  findImplementations,
  findReferences,
  findSymbols,
} from '../../codeintel/answers.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const place = { schema: { querystring: codeQuerySchema } };
const page = { schema: { querystring: codePageQuerySchema } };
const file = { schema: { querystring: codeFileQuerySchema } };

/** `/api/code`: what the indexes of a repository say of a place in it, or of a file. */
export function codeRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  app.get('/api/code/definition', place, ({ query }) => findDefinitions(deps, query));
  app.get('/api/code/references', page, ({ query }) => findReferences(deps, query));
  app.get('/api/code/implementations', page, ({ query }) => findImplementations(deps, query));
  app.get('/api/code/callers', page, ({ query }) => findCallers(deps, query));
  app.get('/api/code/hover', place, ({ query }) => findHover(deps, query));
  app.get('/api/code/symbols', file, ({ query }) => findSymbols(deps, query));
}
