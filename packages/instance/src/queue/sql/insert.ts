import type { JobRecord, QueueName } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { NewJob, Order } from '../kind.ts';
import { changedColumns, insertEvents } from './columns.ts';
import { lineOf } from './lines.ts';

interface Inserted {
  /** Null where there is no line, or the tenant's idempotency key is taken. */
  readonly record: JobRecord | null;
  /** Its line is there, and busy. */
  readonly lined: boolean;
}

/** A new job in its line, with the event of it. */
export async function insertJob(db: Db, queue: QueueName, job: NewJob, order: Order): Promise<Inserted> {
  const { demand } = job;
  const { rows } = await sql<Inserted>`
    with line as (
      select id from lines where ${lineOf(order.tenant, queue, demand)} and busy for key share
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
      returning job_record(jobs, null) as record, ${changedColumns}
    ), event as (${insertEvents} from job as moment)
    select (select record from job) as record, exists (select from line) as lined
  `.execute(db);
  return rows[0] as Inserted;
}
