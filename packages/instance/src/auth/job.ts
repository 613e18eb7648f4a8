import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Compatibility } from '../config.ts';
import type { Db } from '../db/connect.ts';
import { forbidden, unauthorized } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { leaseIsValid } from '../queue/sql/fence.ts';
import { executorIn, jobIdIn, secretIn } from './header.ts';
import { secretHash } from './secret.ts';
import { authenticateUpload, type UploadGrant } from './upload.ts';
import { goodCredential, isNamedByBody, isWithoutToken, leaseWithoutToken } from './without-token.ts';

export interface JobAuth {
  /**
   * The lease of a request on a job route: its token, and headers that say the same as the token. `bound` is what the path
   * names. Errors: upstream's statuses and texts.
   */
  readonly authenticateJob: (
    request: FastifyRequest,
    bound: { readonly queue: string } | { readonly repository: string },
  ) => Promise<JobLease>;
  /**
   * Whether the lease of this request is known only when its body is there: its executor is older than job tokens, such are
   * welcome, and its credential is good. Errors: upstream's.
   */
  readonly isNamedByBody: (request: FastifyRequest) => Promise<boolean>;
  readonly authenticateUpload: (request: FastifyRequest) => Promise<UploadGrant>;
}

export function jobAuth(db: Db, { executorsWithoutJobTokens }: Compatibility): JobAuth {
  // Upstream takes the executors' shared secret from everybody; ours can only lease and heartbeat.
  const isOld = (request: FastifyRequest) => executorsWithoutJobTokens && isWithoutToken(request);
  return {
    async authenticateJob(request, bound) {
      const lease = isOld(request) ? await leaseWithoutToken(db, request) : await leaseWithToken(db, request);
      if ('queue' in bound && lease.queue !== bound.queue) throw forbidden('invalid token');
      if ('repository' in bound && (lease.repository === '' || lease.repository !== bound.repository))
        throw forbidden('invalid token');
      return lease;
    },
    async isNamedByBody(request) {
      if (!isOld(request) || !isNamedByBody(request)) return false;
      await goodCredential(db, request);
      return true;
    },
    authenticateUpload: (request) => authenticateUpload(db, request),
  };
}

async function leaseWithToken(db: Db, request: FastifyRequest): Promise<JobLease> {
  const token = secretIn(request, ['Bearer']);
  const jobId = jobIdIn(request);
  const executor = executorIn(request);
  const lease = await leaseOf(db, token);
  if (lease.jobId !== jobId || lease.executor !== executor) throw forbidden('invalid token');
  return lease;
}

/** The lease that a token stands for, while it lasts. */
async function leaseOf(db: Db, token: string): Promise<JobLease> {
  const { rows } = await sql<JobLease>`
    select id as "jobId", attempt, executor, queue, repository, commit
    from jobs where token_sha256 = ${secretHash(token)} and ${leaseIsValid}
  `.execute(db);
  if (!rows[0]) throw unauthorized('invalid token');
  return rows[0];
}
