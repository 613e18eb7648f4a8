import type { JobRecord, LogEntry } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { wake } from '../../db/transaction.ts';
import { jobTopic } from '../../db/topics.ts';
import { recordOf, type StoredRecord } from '../../queue/network.ts';
import { recordAtMoment } from '../../queue/sql/events.ts';
import { streamBytesMax } from '../limits.ts';

/** Bytes of one stream of one log entry, as an event. */
export interface Output {
  readonly attempt: number;
  readonly entry: number;
  readonly stream: 'stdout' | 'stderr';
  readonly offset: number;
  readonly data: Uint8Array;
}

/**
 * Stores an event with the log entry as it is now, and wakes the job's followers. Its command is added when the event is read: it
 * may be long, and never changes. The transaction holds the job's row.
 */
export async function appendEntryEvent(
  tx: Db,
  jobId: number,
  entry: Omit<LogEntry, 'command'>,
): Promise<void> {
  await sql`
    insert into job_events (job_id, type, attempt, entry, body)
    values (${jobId}, 'entry', ${entry.attempt}, ${entry.entry}, ${JSON.stringify({ type: 'entry', entry })}::jsonb)
  `.execute(tx);
  wake(tx, jobTopic(jobId));
}

/** Stores an event with output, and wakes the job's followers. The transaction holds the job's row. */
export async function appendOutputEvent(tx: Db, jobId: number, output: Output): Promise<void> {
  await sql`
    insert into job_events (job_id, type, attempt, entry, stream, start_offset, data)
    values (${jobId}, 'output', ${output.attempt}, ${output.entry}, ${output.stream}, ${output.offset},
            ${output.data}::bytea)
  `.execute(tx);
  wake(tx, jobTopic(jobId));
}

/** The events with output of one stream of an entry. */
const outputOf = (jobId: number, attempt: number, entry: number, stream: Output['stream']) => sql`
  job_events where job_id = ${jobId} and type = 'output' and attempt = ${attempt} and entry = ${entry} and stream = ${stream}`;

/** Returns whether `out` begins with what is stored of a stream, or the other way round. Reads a few events at a time. */
export async function agreesWithOutput(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
  stream: Output['stream'],
  out: Uint8Array,
): Promise<boolean> {
  for (let offset = 0; offset < out.length; ) {
    const { rows } = await sql<{ start_offset: number; data: Buffer }>`
      select start_offset, data from ${outputOf(jobId, attempt, entry, stream)} and start_offset >= ${offset}::bigint
      order by start_offset limit 8
    `.execute(tx);
    if (rows.length === 0) break;
    for (const { start_offset: start, data } of rows) {
      const same = out.subarray(start, start + data.length);
      if (!data.subarray(0, same.length).equals(same)) return false;
      offset = start + data.length;
    }
  }
  return true;
}

/** Removes what is stored of a stream. The transaction holds the job's row. */
export async function removeOutput(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
  stream: Output['stream'],
): Promise<void> {
  await sql`delete from ${outputOf(jobId, attempt, entry, stream)}`.execute(tx);
}

type JobBody<Record> = { readonly type: 'job'; readonly job: Record };

/** A row of `job_events`: `body` for the types `job` and `entry`, the other columns for `output`. */
export interface StoredEvent<Record = JobRecord> {
  readonly seq: number;
  readonly type: 'job' | 'entry' | 'output';
  readonly body: JobBody<Record> | { readonly type: 'entry'; readonly entry: LogEntry } | null;
  readonly attempt: number;
  readonly entry: number;
  readonly stream: 'stdout' | 'stderr';
  readonly start_offset: number;
  readonly data: Buffer;
}

/** Whether an event has output that ended before the last `tail` bytes of what is stored of its stream. */
const endedBefore = (tail: number) => sql`
  type = 'output' and start_offset + octet_length(data) <= (
    select least(case stream when 'stdout' then stdout_bytes else stderr_bytes end, ${streamBytesMax}) - ${tail}::bigint
    from log_entries as of_output where of_output.job_id = moment.job_id and of_output.attempt = moment.attempt
      and of_output.entry = moment.entry)`;

/**
 * Returns the events of a job after `seq`, at most `limit`. The output of an event is at most `eventBytesMax`. With `tail`,
 * output that ended before the last so many bytes of its stream is left out.
 */
export async function readEvents(
  db: Db,
  jobId: number,
  seq: number,
  limit: number,
  tail?: number,
): Promise<StoredEvent[]> {
  const { rows } = await sql<StoredEvent<StoredRecord>>`
    select seq, type, moment.attempt, moment.entry, stream, start_offset, data,
      case
        when type = 'job' and body is null then jsonb_build_object('type', 'job', 'job', ${recordAtMoment})
        when type = 'entry' and command is not null then jsonb_set(body, '{entry,command}', to_jsonb(command))
        else body
      end as body
    from job_events as moment join jobs on jobs.id = job_id
    left join log_entries on log_entries.job_id = moment.job_id and log_entries.attempt = moment.attempt
      and log_entries.entry = moment.entry and type = 'entry'
    where moment.job_id = ${jobId} and seq > ${seq} and ${tail === undefined ? sql`true` : sql`not (${endedBefore(tail)})`}
    order by seq limit ${limit}
  `.execute(db);
  return rows.map(({ body, ...row }) => ({
    ...row,
    body: body?.type === 'job' ? { ...body, job: recordOf(body.job) } : body,
  }));
}
