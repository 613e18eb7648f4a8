import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { anyRelativePathSchema, commitSchema, numberInText, repositoryNameSchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { notScip, payloadTooBig } from '../codeintel/errors.ts';
import { maxIndexBytes } from '../codeintel/limits.ts';
import {
  addPart,
  beginUpload,
  findPartialUpload,
  finishUpload,
  partsMax,
  partsOf,
} from '../codeintel/partial.ts';
import { readPayload } from '../codeintel/payload.ts';
import { type IndexSender, type IndexSubject, storeUpload } from '../codeintel/store.ts';
import { badRequest } from '../errors.ts';
import { readStream, streamOf } from './body.ts';
import type { RouteDeps } from './deps.ts';
import { goneSignal } from './gone.ts';
import { holderOf } from './receive.ts';
import type { Turns } from './turns.ts';

const nameSchema = z.string().max(200).default('');
const subjectSchema = z.object({
  repository: repositoryNameSchema,
  commit: commitSchema,
  root: anyRelativePathSchema.default(''),
  indexerName: nameSchema,
  indexerVersion: nameSchema,
  associatedIndexId: numberInText.int().optional(),
});
const numberSchema = numberInText.int().min(0).max(Number.MAX_SAFE_INTEGER);
const beginSchema = z.object({ numParts: numberInText.int().min(1).max(partsMax) });
const partSchema = z.object({ uploadId: numberSchema, index: numberSchema });
const finishSchema = z.object({ uploadId: numberSchema, done: z.literal('true') });
const sizeHeader = 'x-uncompressed-size';

/** What a request says that its index is of, and the job that it names. */
export interface NamedIndex extends IndexSubject {
  readonly jobId: number | null;
}

/** Who sends the index of a request, after a check that they may send this one. */
export type CheckSender = (request: FastifyRequest, index: NamedIndex) => Promise<IndexSender>;

/**
 * Adds the routes of upstream's protocol for indexes below a path: `POST {base}/{scip,lsif}/upload`. An index comes in one request (202 with the
 * upload's number as a string), or in parts: `multiPart=true&numParts=N` begins (202), `uploadId=&index=` adds a part (204), and
 * `uploadId=&done=true` finishes (204). Each part may be sent again. A transaction stores the index when all of it has arrived. `receiving` and
 * `storing`: the turns for that.
 */
export function addIndexUpload(
  scope: FastifyInstance,
  deps: RouteDeps,
  base: '/.executors' | '/.api',
  senders: {
    readonly check: CheckSender;
    readonly receiving: keyof Turns;
    readonly storing: keyof Turns;
  },
): void {
  const { db, mirrors, staging, blobs, turns } = deps;
  const { check, receiving, storing } = senders;
  readStream(scope);

  /** Stores an index when it is its turn. The turns are over before the answer is sent. */
  const store = async (
    request: FastifyRequest,
    gone: AbortSignal,
    ...[, sender, subject, index, options]: Parameters<typeof storeUpload>
  ) => {
    using _turn = await turns[storing].take(holderOf(request), gone);
    return await storeUpload(db, sender, subject, index, { ...options, mirrors });
  };

  const receiveWhole = async (
    request: FastifyRequest,
    gone: AbortSignal,
    sender: IndexSender,
    subject: IndexSubject,
  ) => {
    const size = announcedSize(request);
    using _turn = await turns[receiving].take(holderOf(request), gone);
    await using packed = await staging.write(streamOf(request), maxIndexBytes, payloadTooBig);
    return await store(request, gone, db, sender, subject, readPayload(createReadStream(packed.path), size));
  };

  const receivePart = async (request: FastifyRequest, gone: AbortSignal, sender: IndexSender) => {
    const { uploadId, index } = checked(partSchema, request);
    const { parts, isFinished } = await findPartialUpload(db, sender, uploadId);
    if (index >= parts)
      throw badRequest(`unprocessable request: the upload has ${parts} parts, counted from 0`);
    if (isFinished) return;
    using _turn = await turns.indexPart.take(holderOf(request), gone);
    await using staged = await staging.write(streamOf(request), maxIndexBytes, payloadTooBig);
    const { digest } = staged;
    const { size: bytes } = await stat(staged.path);
    await blobs.keep(staged);
    await addPart(db, sender, uploadId, { index, digest, bytes });
  };

  const finish = async (request: FastifyRequest, gone: AbortSignal, sender: IndexSender) => {
    const { uploadId } = checked(finishSchema, request);
    const upload = await findPartialUpload(db, sender, uploadId);
    if (upload.isFinished) return;
    const digests = await partsOf(db, upload, blobs.has);
    const bytes = Readable.from(
      (async function* () {
        for (const digest of digests) yield* blobs.read(digest);
      })(),
    );
    const by = 'grant' in sender ? sender : { ...sender, jobId: upload.jobId };
    await store(
      request,
      gone,
      db,
      by,
      { ...upload.subject, id: uploadId },
      readPayload(bytes, upload.announced),
      {
        also: (tx) => finishUpload(tx, uploadId),
      },
    );
  };

  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    requireScip(request);
    const query = request.query as Record<string, unknown>;
    const { jobId, ...subject } = subjectOf(request);
    const sender = await check(request, { ...subject, jobId });
    const gone = goneSignal(reply);
    if (query.uploadId !== undefined) {
      await (query.done === undefined ? receivePart : finish)(request, gone, sender);
      return reply.code(204).send();
    }
    if (query.multiPart === undefined) {
      const id = await receiveWhole(request, gone, sender, subject);
      return reply.code(202).send({ id: String(id) });
    }
    const { numParts } = checked(beginSchema, request);
    const announced = announcedSize(request);
    if (announced !== null && announced > maxIndexBytes) throw payloadTooBig(maxIndexBytes);
    const id = await beginUpload(db, sender, subject, { parts: numParts, announced });
    return reply.code(202).send({ id: String(id) });
  };
  for (const path of [`${base}/scip/upload`, `${base}/lsif/upload`]) {
    scope.post(path, answer);
    // Older clients ask first whether the route exists.
    scope.head(path, async (_request, reply) => reply.send());
  }
}

/** Errors: `bad_request`, in upstream's words. */
function checked<S extends z.ZodType>(schema: S, { query }: FastifyRequest): z.output<S> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badRequest(`unprocessable request: ${issue?.path.join('.')}: ${issue?.message}`);
}

function subjectOf(request: FastifyRequest): NamedIndex {
  const { indexerName: indexer, associatedIndexId: jobId = null, ...place } = checked(subjectSchema, request);
  return { ...place, indexer, jobId };
}

/** Errors: `index_not_scip` for the type that upstream's clients gave to the older format, and for none: the oldest gave none. */
function requireScip({ headers }: FastifyRequest): void {
  const type = headers['content-type'];
  if (type === undefined || type.startsWith('application/x-ndjson')) throw notScip();
}

/** Returns the size before gzip that the client announces, in bytes; null from one that was given a gzipped file. */
function announcedSize(request: FastifyRequest): number | null {
  const text = request.headers[sizeHeader];
  if (text === undefined) return null;
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text))
    throw badRequest('unprocessable request: X-Uncompressed-Size is no number');
  return Number(text);
}
