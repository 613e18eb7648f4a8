import { anyRelativePathSchema, commitSchema, repositoryNameSchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { readPayload } from '../../codeintel/payload.ts';
import { storeUpload } from '../../codeintel/store.ts';
import { badRequest, forbidden } from '../../errors.ts';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';

const nameSchema = z.string().max(200).default('');
const querySchema = z.object({
  repository: repositoryNameSchema,
  commit: commitSchema,
  root: anyRelativePathSchema.default(''),
  indexerName: nameSchema,
  indexerVersion: nameSchema,
  associatedIndexId: z.coerce.number().int().optional(),
});
const sizeHeader = 'x-uncompressed-size';

/**
 * `POST /.executors/{scip,lsif}/upload`, as `src code-intel upload` sends an index in one request: 202 with the upload's number
 * as a string.
 */
export function indexUploadRoutes(scope: FastifyInstance, { db, jobAuth }: RouteDeps): void {
  readStream(scope);
  const store = async (request: FastifyRequest, reply: FastifyReply) => {
    const grant = await jobAuth.authenticateUpload(request);
    const { associatedIndexId = grant.jobId, ...place } = placeIn(request);
    if (
      place.repository !== grant.repository ||
      place.commit !== grant.commit ||
      (grant.root !== null && place.root !== grant.root) ||
      associatedIndexId !== grant.jobId
    )
      throw forbidden('invalid token');
    const payload = readPayload(streamOf(request), announcedSize(request));
    const id = await storeUpload(db, grant, place, payload);
    return reply.code(202).send({ id: String(id) });
  };
  for (const path of ['/.executors/scip/upload', '/.executors/lsif/upload']) {
    scope.post(path, store);
    // Older clients ask first whether the route exists.
    scope.head(path, async (request, reply) => {
      await jobAuth.authenticateUpload(request);
      return reply.send();
    });
  }
}

function placeIn(request: FastifyRequest) {
  const query = request.query as Record<string, unknown>;
  if (query.multiPart !== undefined || query.uploadId !== undefined)
    throw badRequest('unprocessable request: send the index in one request');
  const parsed = querySchema.safeParse(query);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw badRequest(`unprocessable request: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { indexerName: indexer, ...place } = parsed.data;
  return { ...place, indexer };
}

/** Returns the size before gzip that the client announces, in bytes; null from one that was given a gzipped file. */
function announcedSize(request: FastifyRequest): number | null {
  const text = request.headers[sizeHeader];
  if (text === undefined) return null;
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text))
    throw badRequest('unprocessable request: X-Uncompressed-Size is no number');
  return Number(text);
}
