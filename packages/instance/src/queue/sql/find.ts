import type { JobRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { idempotencyConflict } from '../../errors.ts';
import type { Order } from '../kind.ts';

/** The job that an earlier request with this key made. Errors: `idempotency_conflict` when that request asked for another. */
export async function findByKey(
  db: Db,
  tenant: string,
  { key, requestSha256 }: NonNullable<Order['idempotency']>,
): Promise<JobRecord | null> {
  const { rows } = await sql<{ record: JobRecord; same: boolean }>`
    select job_record(jobs, attempts) as record, request_sha256 = ${requestSha256} as same
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where tenant = ${tenant} and idempotency_key = ${key}
  `.execute(db);
  const [found] = rows;
  if (found && !found.same) throw idempotencyConflict();
  return found?.record ?? null;
}
