import { batchIdSchema, putBatchFileQuerySchema, relativePathSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { storeBatchFile } from '../../batches/files.ts';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { personOf, requirePerson } from '../person.ts';
import { holderOf } from '../receive.ts';

const params = z.object({
  spec: batchIdSchema,
  '*': relativePathSchema.min(1, 'must be a path below the directory of the batch spec'),
});
const querystring = putBatchFileQuerySchema;

/** `PUT /api/batch-specs/{spec}/files/{path}`: what the steps of a batch spec mount. */
export function batchFileRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  readStream(scope);
  app.put('/api/batch-specs/:spec/files/*', { schema: { params, querystring } }, async (request, reply) => {
    using _upload = await deps.turns.upload.take(holderOf(request), goneSignal(reply));
    const { spec, '*': path } = request.params;
    const modifiedAt = new Date(request.query.modifiedAt);
    return await storeBatchFile(deps, personOf(request), spec, { path, modifiedAt }, streamOf(request));
  });
}
