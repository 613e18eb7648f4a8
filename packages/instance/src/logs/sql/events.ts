import type { JobRecord, LogEntry } from '@glovebox/protocol';
import { sql } from 'kysely';
import { type Db, wake } from '../../db/connect.ts';

/** What of a job's row holds its sequence still: the caller has locked it. */
type Body =
  | { readonly type: 'job'; readonly job: JobRecord }
  | { readonly type: 'entry'; readonly entry: LogEntry };

export interface Output {
  readonly attempt: number;
  readonly entry: number;
  readonly stream: 'stdout' | 'stderr';
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Appends an event to a job whose row the transaction holds, and tells those who follow it. */
export async function appendEvent(tx: Db, jobId: number, body: Body): Promise<void> {
  await sql`
    insert into job_events (job_id, seq, type, body)
    select ${jobId}, coalesce(max(seq), 0) + 1, ${body.type}, ${JSON.stringify(body)}::jsonb
    from job_events where job_id = ${jobId}
  `.execute(tx);
  await wake(tx, `job:${jobId}`);
}

/** As `appendEvent`, for bytes of a step. */
export async function appendOutput(tx: Db, jobId: number, output: Output): Promise<void> {
  await sql`
    insert into job_events (job_id, seq, type, attempt, entry, stream, start_offset, data)
    select ${jobId}, coalesce(max(seq), 0) + 1, 'output', ${output.attempt}::int, ${output.entry}::int,
           ${output.stream}, ${output.offset}::bigint, ${output.data}::bytea
    from job_events where job_id = ${jobId}
  `.execute(tx);
  await wake(tx, `job:${jobId}`);
}

/** A stored event; `body` for `job` and `entry`, the rest for `output`. */
export interface StoredEvent {
  readonly seq: number;
  readonly type: 'job' | 'entry' | 'output';
  readonly body: Body | null;
  readonly attempt: number;
  readonly entry: number;
  readonly stream: 'stdout' | 'stderr';
  readonly start_offset: number;
  readonly data: Buffer;
}

/** Events after `seq`, at most `limit`; each holds at most what one append brought. */
export async function readEvents(db: Db, jobId: number, seq: number, limit: number): Promise<StoredEvent[]> {
  const { rows } = await sql<StoredEvent>`
    select seq, type, body, attempt, entry, stream, start_offset, data from job_events
    where job_id = ${jobId} and seq > ${seq} order by seq limit ${limit}
  `.execute(db);
  return rows;
}
