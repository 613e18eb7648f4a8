import type { Readable } from 'node:stream';
import { FumehoodError } from '@fumehood/base';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { forbidden } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { describeIssues } from './issues.ts';
import { receive } from './receive.ts';
import { storable } from './texts.ts';

/** Upstream's answer to a body that is not JSON of the expected type. */
function notUnmarshalled(why: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'invalid_request',
    message: `Failed to unmarshal payload: ${why}`,
  });
}

/**
 * Checks what an executor sent, its body or its query, and makes its texts storable. Answers errors with upstream's statuses and
 * texts. `null` counts as an object without any field.
 */
export function checkInput<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const parsed = schema.safeParse(input ?? {});
  if (parsed.success) return storable(parsed.data);
  const nameless = !(input as { executorName?: unknown } | null | undefined)?.executorName;
  if (nameless && parsed.error.issues.some((issue) => issue.path.join('.') === 'executorName'))
    throw new FumehoodError({
      status: 500,
      code: 'invalid_request',
      message: 'worker hostname cannot be empty',
    });
  throw notUnmarshalled(describeIssues(parsed.error));
}

/** Checks the body of a job route. Its job and executor must be those of the token. Errors: `forbidden`. */
export function checkJobBody<S extends z.ZodType<{ jobId: number; executorName: string }>>(
  schema: S,
  body: unknown,
  lease: JobLease,
): z.output<S> {
  const checked = checkInput(schema, body);
  if (checked.jobId !== lease.jobId || checked.executorName !== lease.executor)
    throw forbidden('invalid token');
  return checked;
}

/**
 * Makes the routes of a scope read every body as JSON, whatever its content type, as upstream does. A POST without a body is
 * refused.
 */
export function readJson(scope: FastifyInstance, limitBytes: number): void {
  receive(scope, limitBytes);
  scope.addHook('preValidation', async ({ method, body }) => {
    if (method === 'POST' && body === undefined) throw notUnmarshalled('EOF');
  });
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'string', bodyLimit: limitBytes }, (_request, text, done) => {
    try {
      done(null, JSON.parse(text as string));
    } catch (error) {
      done(notUnmarshalled((error as Error).message));
    }
  });
}

/** Makes the routes of a scope read every body into memory; `bytesOf` returns it. */
export function readBytes(scope: FastifyInstance, limitBytes: number): void {
  receive(scope, limitBytes);
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: limitBytes }, (_request, bytes, done) =>
    done(null, bytes),
  );
}

/** Returns the body of a request in a scope that reads bytes; a request without a body has none. */
export function bytesOf(request: FastifyRequest): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}

/** Makes the routes of a scope leave every body unread; `streamOf` returns it. */
export function readStream(scope: FastifyInstance): void {
  receive(scope, null);
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
}

/** Returns the body of a request in a scope that reads streams. */
export function streamOf(request: FastifyRequest): Readable {
  return (request.body as Readable | undefined) ?? request.raw;
}
