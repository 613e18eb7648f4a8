import { FumehoodError } from '@fumehood/base';
import { jobIdHeader, jobIdSchema } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { forbidden } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { leaseIsValid } from '../queue/sql/fence.ts';
import { authenticateExecutor, credentialScheme, type ExecutorCredential } from './executor.ts';
import { executorIn, jobIdIn } from './header.ts';

/**
 * Executors older than job tokens, on the routes of a job: they show their credential, and name job and executor in the body
 * alone. The instance's configuration says whether they are welcome.
 */
export function isWithoutToken(request: FastifyRequest): boolean {
  return (request.headers.authorization ?? '').startsWith(`${credentialScheme} `);
}

/** Such a request is known only when its body is there. */
export function isNamedByBody(request: FastifyRequest): boolean {
  return request.headers[jobIdHeader] === undefined;
}

/** The credential of such a request; upstream's job routes have another status for a wrong one than the executors' own. */
export async function goodCredential(db: Db, request: FastifyRequest): Promise<ExecutorCredential> {
  return await authenticateExecutor(db, request).catch((error: unknown) => {
    throw error instanceof FumehoodError && error.status === 401 ? forbidden('') : error;
  });
}

const namesSchema = z.object({ jobId: jobIdSchema, executorName: z.string().min(1) });

/** The lease that such a request means: a good one, of that executor, which has that credential. */
export async function leaseWithoutToken(db: Db, request: FastifyRequest): Promise<JobLease> {
  const { id: credentialId } = await goodCredential(db, request);
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
