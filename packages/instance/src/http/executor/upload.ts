import { anyRelativePathSchema, commitSchema, numberInText, repositoryNameSchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { createReadStream } from 'node:fs';
import { maxIndexBytes } from '../../codeintel/limits.ts';
import { readPayload } from '../../codeintel/payload.ts';
import type { UploadGrant } from '../../auth/upload.ts';
import { payloadTooBig } from '../../codeintel/errors.ts';
import { storeUpload } from '../../codeintel/store.ts';
import { badRequest, forbidden } from '../../errors.ts';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { holderOf, prove } from '../receive.ts';

const nameSchema = z.string().max(200).default('');
const querySchema = z.object({
  repository: repositoryNameSchema,
  commit: commitSchema,
  root: anyRelativePathSchema.default(''),
  indexerName: nameSchema,
  indexerVersion: nameSchema,
  associatedIndexId: numberInText.int().optional(),
});
const sizeHeader = 'x-uncompressed-size';

const decorator = 'grant';

/**
 * `POST /.executors/{scip,lsif}/upload`, as `src code-intel upload` sends an index in one request: 202 with the upload's number
 * as a string. The transaction that stores the index begins when all of it has arrived.
 */
export function indexUploadRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db, jobAuth, staging, turns } = deps;
  readStream(scope);
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    const grant = await jobAuth.authenticateUpload(request);
    request.setDecorator<UploadGrant>(decorator, grant);
    prove(request, `job ${grant.jobId}`);
  });
  const store = async (request: FastifyRequest, reply: FastifyReply) => {
    const grant = request.getDecorator<UploadGrant>(decorator);
    const { associatedIndexId = grant.jobId, ...place } = placeIn(request);
    if (
      place.repository !== grant.repository ||
      place.commit !== grant.commit ||
      (grant.root !== null && place.root !== grant.root) ||
      associatedIndexId !== grant.jobId
    )
      throw forbidden('invalid token');
    const size = announcedSize(request);
    const id = await receive(request, goneSignal(reply), (path) =>
      storeUpload(db, grant, place, readPayload(createReadStream(path), size)),
    );
    return reply.code(202).send({ id: String(id) });
  };
  /** Receives the body as a file, and stores it when it is its turn. The turns are over before the answer is sent. */
  const receive = async (
    request: FastifyRequest,
    gone: AbortSignal,
    run: (path: string) => Promise<number>,
  ) => {
    const holder = holderOf(request);
    using _upload = await turns.indexUpload.take(holder, gone);
    await using packed = await staging.write(streamOf(request), maxIndexBytes, payloadTooBig);
    using _store = await turns.index.take(holder, gone);
    return await run(packed.path);
  };
  for (const path of ['/.executors/scip/upload', '/.executors/lsif/upload']) {
    scope.post(path, store);
    // Older clients ask first whether the route exists.
    scope.head(path, async (_request, reply) => reply.send());
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
