import { FumehoodError } from '@fumehood/base';
import { executorNameSchema, jobIdHeader, jobIdSchema } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import * as z from 'zod';
import type { Db } from '../db/connect.ts';
import { forbidden } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { leaseIsValid } from '../queue/sql/fence.ts';
import { authenticateExecutor, credentialScheme, type ExecutorCredential } from './executor.ts';
import { executorIn, jobIdIn } from './header.ts';

/**
 * Checks whether a request on a job route comes from an executor that is older than job tokens. Such an executor sends its
 * credential in place of a token, and may name itself and the job only in the body. The instance's configuration says whether
 * it is accepted.
 */
export function isWithoutToken(request: FastifyRequest): boolean {
  return (request.headers.authorization ?? '').startsWith(`${credentialScheme} `);
}

/** Checks whether only the body of such a request names the job. */
export function isNamedByBody(request: FastifyRequest): boolean {
  return request.headers[jobIdHeader] === undefined;
}

/**
 * Returns the credential of such a request. A wrong one is `forbidden` (403), as on upstream's job routes, not `unauthorized`.
 */
export async function authenticateOldExecutor(db: Db, request: FastifyRequest): Promise<ExecutorCredential> {
  return await authenticateExecutor(db, request).catch((error: unknown) => {
    throw error instanceof FumehoodError && error.status === 401 ? forbidden('') : error;
  });
}

const namesSchema = z.object({ jobId: jobIdSchema, executorName: executorNameSchema });

/**
 * Returns the lease of such a request: a valid one of the named executor, whose name belongs to the credential. Errors:
 * `forbidden`.
 */
export async function leaseWithoutToken(db: Db, request: FastifyRequest): Promise<JobLease> {
  const { id: credentialId } = await authenticateOldExecutor(db, request);
  const body = isNamedByBody(request) ? namesSchema.safeParse(request.body).data : undefined;
  const jobId = body?.jobId ?? jobIdIn(request);
  const executor = body?.executorName ?? executorIn(request);
  const { rows } = await sql<JobLease>`
    select id as "jobId", attempt, executor, queue, repository, commit
    from jobs join executors on executors.name = jobs.executor
    where id = ${jobId} and executor = ${executor} and credential_id = ${credentialId} and ${leaseIsValid}
  `.execute(db);
  if (!rows[0]) throw forbidden('');
  return rows[0];
}
