import { digestSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { requirePerson } from '../person.ts';
import { holderOf } from '../receive.ts';

const params = z.object({ digest: digestSchema });

/** `PUT /api/blobs/{digest}` stores a file by the digest of its bytes; `HEAD` returns its size, or 404. */
export function blobRoutes(scope: FastifyInstance, { db, blobs, turns }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  readStream(scope);

  app.put('/api/blobs/:digest', { schema: { params } }, async (request, reply) => {
    const turn = await turns.upload.take(holderOf(request), goneSignal(reply));
    const made = await blobs
      .write(request.params.digest, streamOf(request))
      .finally(() => turn[Symbol.dispose]());
    return reply.code(made ? 201 : 200).send({ digest: request.params.digest });
  });
  app.head('/api/blobs/:digest', { schema: { params } }, async (request, reply) => {
    const size = await blobs.size(request.params.digest);
    return reply.header('content-length', size).send();
  });
}
