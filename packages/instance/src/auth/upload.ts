import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { unauthorized } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { leaseIsValid } from '../queue/sql/fence.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';

/** The permission to upload an index of the lease's commit. */
export interface UploadGrant extends JobLease {
  /** The only directory that the index may be of, for one index. Null: any directory, any number of indexes. */
  readonly root: string | null;
}

/** Stores a token for one upload under a lease. Unlike the job's token, it may be put where the job's code can read it. */
export async function storeUploadToken(
  db: Db,
  lease: Pick<JobLease, 'jobId' | 'attempt'>,
  token: string,
  root: string,
): Promise<void> {
  await sql`
    insert into upload_tokens (job_id, attempt, sha256, root)
    values (${lease.jobId}, ${lease.attempt}, ${secretHash(token)}, ${root})
    on conflict (job_id) do update set attempt = excluded.attempt, sha256 = excluded.sha256, root = excluded.root
  `.execute(db);
}

/**
 * Returns what the token of an upload by `src` permits. It is a job's token or one for a single upload, in any of the schemes.
 * Errors: `unauthorized`, with upstream's statuses and texts.
 */
export async function authenticateUpload(db: Db, request: FastifyRequest): Promise<UploadGrant> {
  const hash = secretHash(secretIn(request, ['Bearer', 'token', 'token-executor']));
  const { rows } = await sql<UploadGrant>`
    with grants as (
      select id, attempt, null as root from jobs where token_sha256 = ${hash}
      union all
      select job_id, attempt, root from upload_tokens where sha256 = ${hash}
    )
    select jobs.id as "jobId", jobs.attempt, executor, queue, repository, commit, root
    from grants join jobs on jobs.id = grants.id and jobs.attempt = grants.attempt
    where ${leaseIsValid}
  `.execute(db);
  if (!rows[0]) throw unauthorized('invalid token');
  return rows[0];
}

/**
 * Deletes a token for one upload, in the transaction that stores the upload and holds the job's row. Returns false if another
 * upload has used the token already.
 */
export async function spendUploadToken(tx: Db, { jobId, attempt }: JobLease): Promise<boolean> {
  const { rows } = await sql`
    delete from upload_tokens where job_id = ${jobId} and attempt = ${attempt} returning job_id
  `.execute(tx);
  return rows.length === 1;
}
