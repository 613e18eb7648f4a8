import type { JobRecord } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { insertEvents } from './columns.ts';

/** A job with its last attempt, as people see it, but for why it waits. */
export async function readRecord(db: Db, id: number): Promise<JobRecord | undefined> {
  const { rows } = await sql<{ record: JobRecord }>`
    select job_record(jobs, attempts) as record
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where jobs.id = ${id}
  `.execute(db);
  return rows[0]?.record;
}

/** The job as it is now, as an event; the caller holds its row. */
export async function insertJobEvent(tx: Db, id: number): Promise<void> {
  await sql`${insertEvents} from jobs as moment where id = ${id}`.execute(tx);
}
