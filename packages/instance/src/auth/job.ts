import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Compatibility } from '../config.ts';
import type { Db } from '../db/connect.ts';
import { forbidden, unauthorized } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { leaseIsValid, leaseTakesLog } from '../queue/sql/fence.ts';
import type { ExecutorCredential } from './executor.ts';
import { executorIn, jobIdIn, secretIn } from './header.ts';
import { secretHash } from './secret.ts';
import { authenticateUpload, type UploadGrant } from './upload.ts';
import {
  authenticateOldExecutor,
  isNamedByBody,
  isWithoutToken,
  leaseWithoutToken,
} from './without-token.ts';

/** The authentication of requests on the routes of a job. */
export interface JobAuth {
  /**
   * Returns the lease of a request on a job route. The request's headers have to name the job and the executor of its token,
   * and `bound` is the queue or the repository that the path names. `takesLog`: the route writes the log, so the job may have been
   * canceled. Errors: `unauthorized`, `forbidden`, `invalid_request`,
   * with upstream's statuses and texts.
   */
  readonly authenticateJob: (
    request: FastifyRequest,
    bound: { readonly queue: string; readonly takesLog?: boolean } | { readonly repository: string },
  ) => Promise<JobLease>;
  /**
   * Returns the credential of a request of which only the body says which job it is for: its executor is older than job tokens, and
   * the configuration allows such executors. Null for every other request. Errors: upstream's, for a credential that is not valid.
   */
  readonly credentialForBody: (request: FastifyRequest) => Promise<ExecutorCredential | null>;
  /** Returns what the token of an upload permits. Errors: `unauthorized`. */
  readonly authenticateUpload: (request: FastifyRequest) => Promise<UploadGrant>;
}

/** Makes the authentication of job routes. */
export function jobAuth(db: Db, { executorsWithoutJobTokens }: Compatibility): JobAuth {
  // Upstream accepts the executors' credential on the job routes. Here it is valid only for leases and heartbeats, unless the
  // configuration allows executors without job tokens.
  const isOldExecutor = (request: FastifyRequest) => executorsWithoutJobTokens && isWithoutToken(request);
  return {
    async authenticateJob(request, bound) {
      const lease = isOldExecutor(request)
        ? await leaseWithoutToken(db, request)
        : await leaseWithToken(
            db,
            request,
            'queue' in bound && bound.takesLog ? leaseTakesLog : leaseIsValid,
          );
      if ('queue' in bound && lease.queue !== bound.queue) throw forbidden('invalid token');
      if ('repository' in bound && (lease.repository === '' || lease.repository !== bound.repository))
        throw forbidden('invalid token');
      return lease;
    },
    async credentialForBody(request) {
      if (!isOldExecutor(request) || !isNamedByBody(request)) return null;
      return await authenticateOldExecutor(db, request);
    },
    authenticateUpload: (request) => authenticateUpload(db, request),
  };
}

/** Returns the lease of a request's token, if its headers name the same job and executor. */
async function leaseWithToken(
  db: Db,
  request: FastifyRequest,
  fence: typeof leaseIsValid,
): Promise<JobLease> {
  const token = secretIn(request, ['Bearer']);
  const jobId = jobIdIn(request);
  const executor = executorIn(request);
  const lease = await findLease(db, token, fence);
  if (lease.jobId !== jobId || lease.executor !== executor) throw forbidden('invalid token');
  return lease;
}

/** Returns the lease of a token that is good for `fence`. Errors: `unauthorized`. */
async function findLease(db: Db, token: string, fence: typeof leaseIsValid): Promise<JobLease> {
  const { rows } = await sql<JobLease>`
    select id as "jobId", attempt, executor, queue, repository, commit
    from jobs where token_sha256 = ${secretHash(token)} and ${fence}
  `.execute(db);
  if (!rows[0]) throw unauthorized('invalid token');
  return rows[0];
}
