import type { JobRecord, QueueName } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { NewJob, Order } from '../kind.ts';

export interface Inserted {
  readonly record: JobRecord;
  /** Its line was put aside while it came: it has to be made busy again. */
  readonly aside: boolean;
}

/** A new job in its line, with the event of it. Null where the tenant's idempotency key is taken. */
export async function insertJob(
  db: Db,
  queue: QueueName,
  lineId: number,
  job: NewJob,
  order: Order,
): Promise<Inserted | null> {
  const { demand } = job;
  const { rows } = await sql<Inserted>`
    with line as (
      select id, busy from lines where id = ${lineId} for key share
    ), job as (
      insert into jobs (queue, payload, repository, commit, accept, arch, labels, cpus, memory_mib, scratch_mib,
                        needs_native, max_resets, max_retries, takes_input, input_ended, tenant, line_id, priority,
                        rank_at, process_after, retry_pause_ms, idempotency_key, request_sha256)
      select ${queue}, ${JSON.stringify(job.payload)}::jsonb, ${job.repository}, ${job.commit}, ${demand.accept},
              ${demand.arch}, ${demand.labels}, ${demand.cpus}, ${demand.memoryMiB}, ${demand.scratchMiB},
              ${demand.needsNative}, ${job.maxResets}, ${job.maxRetries}, ${job.input}, ${!job.input},
              ${order.tenant}, line.id, ${order.priority}::int,
              greatest(clock_timestamp(), ${order.processAfter}::timestamptz)
                - make_interval(mins => ${order.priority}::int),
              ${order.processAfter}, ${order.retryPauseMs}, ${order.idempotency?.key ?? null},
              ${order.idempotency?.requestSha256 ?? null}::bytea
      from line
      on conflict (tenant, idempotency_key) where idempotency_key is not null do nothing
      returning jobs as row
    ), event as (
      insert into job_events (job_id, type, body)
      select (row).id, 'job', jsonb_build_object('type', 'job', 'job', job_record(row, null)) from job
      returning body
    )
    select body -> 'job' as record, not busy as aside from event, line
  `.execute(db);
  return rows[0] ?? null;
}
