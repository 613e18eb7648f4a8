import { FumehoodError } from '@fumehood/base';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { JobLease } from '../../queue/job.ts';
import { forbidden } from '../../errors.ts';

/** Upstream's answer to a body that is no JSON of its type. */
function notUnmarshalled(why: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'invalid_request',
    message: `Failed to unmarshal payload: ${why}`,
  });
}

/**
 * The checked body of an executor's request. Statuses and texts are upstream's (reference §1.4): `null` is an object in which
 * everything is missing.
 */
export function bodyAs<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  const nameless = !(body as { executorName?: unknown } | null | undefined)?.executorName;
  if (nameless && parsed.error.issues.some((issue) => issue.path.join('.') === 'executorName'))
    throw new FumehoodError({
      status: 500,
      code: 'invalid_request',
      message: 'worker hostname cannot be empty',
    });
  throw notUnmarshalled(z.prettifyError(parsed.error));
}

/** The body of a job route: what it says of job and executor must be what its token says. */
export function jobBodyAs<S extends z.ZodType<{ jobId: number; executorName: string }>>(
  schema: S,
  body: unknown,
  lease: JobLease,
): z.output<S> {
  const checked = bodyAs(schema, body);
  if (checked.jobId !== lease.jobId || checked.executorName !== lease.executor)
    throw forbidden('invalid token');
  return checked;
}

/**
 * Makes a scope read every body as JSON, whatever it says it is: upstream does not look at the content type. A POST without any
 * is refused.
 */
export function readJson(scope: FastifyInstance, limitBytes: number): void {
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

/** Makes a scope read every body as bytes. */
export function readBytes(scope: FastifyInstance, limitBytes: number): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: limitBytes }, (_request, bytes, done) =>
    done(null, bytes),
  );
}
