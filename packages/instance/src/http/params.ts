import { jobIdSchema, numberInText, storedRepositorySchema } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import * as z from 'zod';
import { badRequest } from '../errors.ts';

/** The number of a job, an upload, a token … in a path. */
export const idParam = numberInText.pipe(jobIdSchema);

/** Parameters of `/api/jobs/:id` and of the paths below it. */
export const jobParams = z.object({ id: idParam });

/** Returns the name of the repository at the end of a path that is registered with `*`: it has slashes. Errors: `bad_request`. */
export function repositoryParam(request: FastifyRequest): string {
  const name = storedRepositorySchema.safeParse((request.params as { '*': string })['*']);
  if (!name.success) throw badRequest('a repository name has letters, digits, dots, hyphens and slashes');
  return name.data;
}
