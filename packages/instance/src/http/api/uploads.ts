import { definitionQuerySchema, exampleQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { noExample, uploadNotFound } from '../../codeintel/errors.ts';
import { definitionsAt, exampleOf } from '../../codeintel/read.ts';
import { readUpload } from '../../codeintel/sql/uploads.ts';
import type { Db } from '../../db/connect.ts';
import type { RouteDeps } from '../deps.ts';
import { idParam } from '../params.ts';
import { requirePerson } from '../person.ts';

const params = z.object({ id: idParam });

/** `GET /api/uploads/{id}`, `/definition` and `/example`: a stored index, and lookups in it. */
export function uploadRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/uploads/:id', { schema: { params } }, (request) => requireUpload(db, request.params.id));
  app.get(
    '/api/uploads/:id/definition',
    { schema: { params, querystring: definitionQuerySchema } },
    async (request) => {
      const { id } = await requireUpload(db, request.params.id);
      return { definitions: await definitionsAt(db, id, request.query) };
    },
  );
  app.get(
    '/api/uploads/:id/example',
    { schema: { params, querystring: exampleQuerySchema } },
    async (request) => {
      const { id } = await requireUpload(db, request.params.id);
      const example = await exampleOf(db, id, request.query.into ?? null);
      if (!example) throw noExample(id);
      return example;
    },
  );
}

/** Errors: `upload_not_found`. */
async function requireUpload(db: Db, id: number) {
  const upload = await readUpload(db, id);
  if (!upload) throw uploadNotFound(id);
  return upload;
}
