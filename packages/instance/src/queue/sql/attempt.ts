import type { JobResultRequest } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

/** What the executor measured of its run; a later word replaces an earlier one. */
export async function saveResult(tx: Db, job: JobRow, result: JobResultRequest): Promise<void> {
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value));
  await sql`
    insert into attempts (job_id, attempt, executor, started_at, tier, vmm, exit_code, guest, inspection, left_over)
    values (${job.id}, ${job.attempt}, ${job.executor}, ${job.started_at}, ${result.tier}, ${result.vmm},
            ${result.exitCode}, ${json(result.guest)}::jsonb, ${json(result.inspection)}::jsonb,
            ${json(result.leftOver)}::jsonb)
    on conflict (job_id, attempt) do update set
      tier = excluded.tier, vmm = excluded.vmm, exit_code = excluded.exit_code, guest = excluded.guest,
      inspection = excluded.inspection, left_over = excluded.left_over
  `.execute(tx);
}
