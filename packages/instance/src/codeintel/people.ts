import { definitionQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Db } from '../db/connect.ts';
import type { DomainDeps } from '../instance.ts';
import { noExample, uploadNotFound } from './errors.ts';
import { definitionsAt, exampleOf, readUpload } from './read.ts';

const params = z.object({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });

/** `GET /api/uploads/{id}`, `/definition` and `/example`. */
export function codeintelRoutes(
  scope: FastifyInstance,
  { db, requirePerson }: Pick<DomainDeps, 'db' | 'requirePerson'>,
): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope);
  app.get('/api/uploads/:id', { schema: { params } }, (request) => existing(db, request.params.id));
  app.get(
    '/api/uploads/:id/definition',
    { schema: { params, querystring: definitionQuerySchema } },
    async (request) => {
      const { id } = await existing(db, request.params.id);
      return { definitions: await definitionsAt(db, id, request.query) };
    },
  );
  app.get('/api/uploads/:id/example', { schema: { params } }, async (request) => {
    const { id } = await existing(db, request.params.id);
    const example = await exampleOf(db, id);
    if (!example) throw noExample(id);
    return example;
  });
}

async function existing(db: Db, id: number) {
  const upload = await readUpload(db, id);
  if (!upload) throw uploadNotFound(id);
  return upload;
}
