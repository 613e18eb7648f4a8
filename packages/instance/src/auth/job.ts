import { executorNameHeader, jobIdHeader, type QueueName } from '@glovebox/protocol';
import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { badRequest, forbidden, unauthorized } from '../errors.ts';
import { credentialHolds } from './executor.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';

/** What a job token stands for: one attempt of one job by one executor, and the one commit that it may read. */
export interface JobLease {
  readonly jobId: number;
  readonly attempt: number;
  readonly executor: string;
  readonly queue: QueueName;
  /** `''`: it may read no repository. */
  readonly repository: string;
  readonly commit: string;
}

export interface JobAuth {
  /**
   * The lease of a request on a job route: its token, and headers that say the same as the token. `bound` is what the path
   * names. Errors: upstream's statuses and texts.
   */
  readonly authenticateJob: (
    request: FastifyRequest,
    bound: { readonly queue: string } | { readonly repository: string },
  ) => Promise<JobLease>;
  /** The lease of an upload by `src`, which sends the token alone, in the scheme that it was given. */
  readonly authenticateUpload: (request: FastifyRequest) => Promise<JobLease>;
}

export function jobAuth(db: Db): JobAuth {
  return {
    async authenticateJob(request, bound) {
      // Upstream also takes the executors' shared secret here; ours can only lease and heartbeat.
      const token = secretIn(request, ['Bearer']);
      const jobId = jobIdIn(request);
      const executor = request.headers[executorNameHeader];
      if (typeof executor !== 'string' || executor === '')
        throw badRequest('worker hostname cannot be empty');
      const lease = await leaseOf(db, token);
      if (lease.jobId !== jobId || lease.executor !== executor) throw forbidden('invalid token');
      if ('queue' in bound && lease.queue !== bound.queue) throw forbidden('invalid token');
      if ('repository' in bound && (lease.repository === '' || lease.repository !== bound.repository))
        throw forbidden('invalid token');
      return lease;
    },
    authenticateUpload: (request) => leaseOf(db, secretIn(request, ['Bearer', 'token', 'token-executor'])),
  };
}

function jobIdIn(request: FastifyRequest): number {
  const value = request.headers[jobIdHeader];
  if (typeof value !== 'string' || value === '')
    throw badRequest("job ID not provided in header 'X-Sourcegraph-Job-ID'");
  if (!/^[+-]?\d{1,15}$/.test(value))
    throw badRequest(
      `failed to parse Job ID: strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  return Number(value);
}

/** The lease that a token stands for, while it lasts. */
async function leaseOf(db: Db, token: string): Promise<JobLease> {
  const { rows } = await sql<JobLease>`
    select id as "jobId", attempt, executor, queue, repository, commit
    from jobs
    where token_sha256 = ${secretHash(token)} and state = 'processing' and lease_expires_at > clock_timestamp()
      and ${credentialHolds}
  `.execute(db);
  if (!rows[0]) throw unauthorized('invalid token');
  return rows[0];
}
