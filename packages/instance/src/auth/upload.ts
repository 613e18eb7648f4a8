import type { FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { unauthorized } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { leaseIsValid } from '../queue/sql/fence.ts';
import { secretIn } from './header.ts';
import { secretHash } from './secret.ts';

/** What may be uploaded: an index of this lease's commit. */
export interface UploadGrant extends JobLease {
  /** The one directory that the index may be of, and one index alone. Null: any, as often as it likes. */
  readonly root: string | null;
}

/** Makes a token good for one upload of a lease: its executor may put it where the job's code can read it. */
export async function keepUploadToken(
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
 * What the token of an upload by `src` is good for, in whichever scheme it was given: a job's token, or one for one upload.
 * Errors: upstream's statuses and texts.
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

/** Uses a token up, in the transaction that stores the upload and holds the job's row. False: somebody was faster. */
export async function spendUploadToken(tx: Db, { jobId, attempt }: JobLease): Promise<boolean> {
  const { rows } = await sql`
    delete from upload_tokens where job_id = ${jobId} and attempt = ${attempt} returning job_id
  `.execute(tx);
  return rows.length === 1;
}
