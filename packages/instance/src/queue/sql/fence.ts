import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobLease, JobRow } from '../job.ts';

/**
 * The lease is valid, or it was until a cancel: its executor still holds the job, and the log entries of a canceled job are accepted
 * until its VM is gone. A step that is asked to end says its last words there.
 */
export const leaseTakesLog = sql<boolean>`(
  jobs.state = 'processing' and jobs.lease_expires_at > clock_timestamp()
  and not exists (
    select from executors join executor_credentials credential on credential.id = executors.credential_id
    where executors.name = jobs.executor and not credential_is_good(credential)
  )
)`;

/**
 * The fence: SQL that says of a row of `jobs` whether its lease is valid. Every read and write under a job's token asks this. A
 * statement that writes asks it about the row that it locks: until the commit, no other transaction can cancel, expire or end
 * the lease, so the job cannot run elsewhere before the write is complete. Which lease is meant is said beside it: by the
 * token's hash, or by `isLeaseOf`.
 *
 * - `state` and `lease_expires_at`: the executor kills the VM by its own clock when the lease runs out, and then the job may run
 *   again elsewhere. `clock_timestamp()` is the time of the check; `now()` would be that of the transaction's start.
 * - `cancel_requested`: nothing of a canceled job is accepted any more but its log (`leaseTakesLog`), though its lease lasts until
 *   its VM is gone.
 * - the credential: leases end with the credential under which they were taken, when it is revoked or expires. An executor's
 *   name stays with that credential until its leases have ended (`recordExecutor`), so no other credential can revive them.
 */
export const leaseIsValid = sql<boolean>`(${leaseTakesLog} and not jobs.cancel_requested)`;

/**
 * The lease can be renewed by a heartbeat. It has not run out, and unlike for `leaseIsValid` a cancel may have been requested:
 * the lease of such a job lasts until its executor has ended the VM and no longer names the job. The caller has checked the
 * credential.
 */
export const leaseIsRenewable = sql<boolean>`(
  jobs.state = 'processing' and jobs.lease_expires_at > clock_timestamp()
)`;

/**
 * The row's lease is this one. The attempt keeps out an earlier attempt of the same executor, which may still be running when the
 * job has been leased again.
 */
export const isLeaseOf = ({ jobId, attempt, executor }: JobLease) => sql<boolean>`(
  jobs.id = ${jobId} and jobs.attempt = ${attempt} and jobs.executor = ${executor}
)`;

/**
 * Locks the job's row until the transaction ends, and returns it if this lease of it is valid, or if it is good for `fence`.
 */
export async function lockLeasedJob(
  tx: Db,
  lease: JobLease,
  fence = leaseIsValid,
): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`
    select * from jobs where ${isLeaseOf(lease)} and ${fence} for update
  `.execute(tx);
  return rows[0];
}

/** Locks the row of a job until the transaction ends, without the fence: for writes of people. */
export async function lockJob(tx: Db, id: number): Promise<JobRow | undefined> {
  const { rows } = await sql<JobRow>`select * from jobs where id = ${id} for update`.execute(tx);
  return rows[0];
}
