import { storableText } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../../queue/job.ts';
import { wakeBatch } from '../specs.ts';

/**
 * Stores the end of a workspace with that of its job, in the same transaction. A job that is complete without all of its steps has failed;
 * `fault`: why it lacks them, if that is known.
 */
export async function workspaceEnded(tx: Db, job: JobRow, fault: string | null): Promise<void> {
  const why = storableText(fault ?? 'its executor has ended the job before its last step').slice(0, 2_000);
  const { rows } = await sql<{ id: number; publicId: string }>`
    with ended as (
      select workspace.id, case
        when ${job.state} <> 'completed' then ${job.state}
        when (select count(*) from batch_workspace_steps step where workspace_id = workspace.id
          and step.state in ('cached', 'skipped', 'completed')) = step_count then 'completed'
        else 'failed' end as state
      from batch_workspaces workspace where job_id = ${job.id} and state in ('queued', 'processing')
    )
    update batch_workspaces set state = ended.state, finished_at = clock_timestamp(), reason = case
        when ended.state <> 'failed' then null
        when ${job.state} = 'completed' then ${why}
        else coalesce(reason, (select coalesce(message, attempts.reason) from attempts where attempts.job_id = ${job.id}
          order by attempt desc limit 1), 'the job has failed') end
    from ended, batch_specs spec where batch_workspaces.id = ended.id and spec.id = spec_id
    returning batch_workspaces.id, spec.public_id as "publicId"
  `.execute(tx);
  const [workspace] = rows;
  if (!workspace) return;
  await sql`
    update batch_workspace_steps set state = 'failed', finished_at = clock_timestamp()
    where workspace_id = ${workspace.id} and state = 'processing'
  `.execute(tx);
  wakeBatch(tx, workspace, true);
}
