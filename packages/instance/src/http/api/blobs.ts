import { digestSchema } from '@fumehood/protocol';
import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { HttpDeps } from '../deps.ts';
import { requirePerson } from './person.ts';

const params = z.object({ digest: digestSchema });

/** `PUT /api/blobs/{digest}`: a file by the digest of its bytes; `HEAD` asks whether it is there. */
export function blobRoutes(scope: FastifyInstance, { db, blobs }: HttpDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

  app.put('/api/blobs/:digest', { schema: { params } }, async (request, reply) => {
    const bytes = (request.body as Readable | undefined) ?? request.raw;
    const made = await blobs.write(request.params.digest, bytes);
    return reply.code(made ? 201 : 200).send({ digest: request.params.digest });
  });
  app.head('/api/blobs/:digest', { schema: { params } }, async (request, reply) => {
    const size = await blobs.size(request.params.digest);
    return reply.header('content-length', size).send();
  });
}
