import type { Readable } from 'node:stream';
import { commitSchema, relativePathSchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { transaction } from '../db/connect.ts';
import { spendUploadToken } from '../auth/upload.ts';
import { badRequest, forbidden, leaseLost } from '../errors.ts';
import type { DomainDeps } from '../instance.ts';
import { recordUpload } from '../queue/queue.ts';
import { lockLeasedJob } from '../queue/sql/lock.ts';
import { readPayload } from './payload.ts';
import { storeIndex } from './store.ts';

const short = z.string().max(200).default('');
const querySchema = z.object({
  repository: z.string().min(1).max(400),
  commit: commitSchema,
  // `.` as the command line has it.
  root: z
    .string()
    .default('')
    .transform((root) => (root === '.' ? '' : root))
    .pipe(relativePathSchema),
  indexerName: short,
  indexerVersion: short,
  associatedIndexId: z.coerce.number().int().optional(),
});
const sizeHeader = 'x-uncompressed-size';

/**
 * `POST /.executors/{scip,lsif}/upload`, as `src code-intel upload` speaks it in one request: answered with 202 and the
 * upload's number as a string. The index is read as it arrives, in a transaction that commits only under a good lease, so that it is
 * stored, decoded and visible at once, or not at all.
 */
export function uploadRoutes(
  scope: FastifyInstance,
  { db, authenticateUpload }: Pick<DomainDeps, 'db' | 'authenticateUpload'>,
): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const take = async (request: FastifyRequest, reply: FastifyReply) => {
    const grant = await authenticateUpload(request);
    const place = placeIn(request);
    const { associatedIndexId = grant.jobId } = place;
    if (
      place.repository !== grant.repository ||
      place.commit !== grant.commit ||
      (grant.root !== null && place.root !== grant.root) ||
      associatedIndexId !== grant.jobId
    )
      throw forbidden('invalid token');
    const payload = readPayload(bodyOf(request), promisedSize(request));
    const id = await transaction(db, async (tx) => {
      const stored = await storeIndex(tx, { ...place, jobId: grant.jobId }, payload);
      const job = await lockLeasedJob(tx, grant);
      if (!job) throw leaseLost(grant.jobId);
      if (grant.root !== null && !(await spendUploadToken(tx, grant))) throw forbidden('invalid token');
      await recordUpload(tx, job, stored);
      return stored;
    });
    return reply.code(202).send({ id: String(id) });
  };
  for (const path of ['/.executors/scip/upload', '/.executors/lsif/upload']) {
    scope.post(path, take);
    // Older clients ask whether the route is there.
    scope.head(path, async (request, reply) => {
      await authenticateUpload(request);
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

function bodyOf(request: FastifyRequest): Readable {
  return (request.body as Readable | undefined) ?? request.raw;
}

/** Null where the client said none: it was given a file that was gzipped already. */
function promisedSize(request: FastifyRequest): number | null {
  const text = request.headers[sizeHeader];
  if (text === undefined) return null;
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text))
    throw badRequest('unprocessable request: X-Uncompressed-Size is no number');
  return Number(text);
}
