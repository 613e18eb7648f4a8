import type { LogEntry } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { streamBytesMax } from '../limits.ts';

/** A row of `log_entries`. */
export interface EntryRow {
  readonly entry: number;
  readonly attempt: number;
  readonly key: string;
  readonly command: string[];
  readonly start_time: Date;
  readonly duration_ms: number | null;
  readonly exit_code: number | null;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
}

/** What an executor reports of a log entry. */
export interface EntryFacts {
  readonly key: string;
  readonly command: readonly string[];
  readonly startTime: string;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
}

/**
 * Inserts a log entry with this number, or with the next one if `entry` is null. Returns undefined if the attempt has the entry
 * already. The transaction holds the job's row.
 */
export async function insertEntry(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number | null,
  facts: EntryFacts,
): Promise<EntryRow | undefined> {
  const { rows } = await sql<EntryRow>`
    insert into log_entries (job_id, attempt, entry, key, command, start_time, exit_code, duration_ms)
    select ${jobId}::bigint, ${attempt}::int, coalesce(${entry}::int, max(entry) + 1, 1), ${facts.key}, ${facts.command}::text[],
      ${facts.startTime}::timestamptz, ${facts.exitCode}::int, ${facts.durationMs}::bigint
    from log_entries where job_id = ${jobId} and attempt = ${attempt}
    on conflict (job_id, attempt, entry) do nothing
    returning *
  `.execute(tx);
  return rows[0];
}

/** Updates a log entry. Returns undefined if there is none with this number. */
export async function updateEntry(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
  facts: EntryFacts,
): Promise<EntryRow | undefined> {
  const { rows } = await sql<EntryRow>`
    update log_entries set key = ${facts.key}, command = ${facts.command}::text[],
      start_time = ${facts.startTime}::timestamptz, exit_code = ${facts.exitCode}::int,
      duration_ms = ${facts.durationMs}::bigint
    where job_id = ${jobId} and attempt = ${attempt} and entry = ${entry}
    returning *
  `.execute(tx);
  return rows[0];
}

/** Returns a log entry. */
export async function readEntry(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
): Promise<EntryRow | undefined> {
  const { rows } = await sql<EntryRow>`
    select * from log_entries where job_id = ${jobId} and attempt = ${attempt} and entry = ${entry}
  `.execute(tx);
  return rows[0];
}

/** Sets the next offset of a stream. The transaction holds the job's row. */
export async function setStreamBytes(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
  stream: 'stdout' | 'stderr',
  bytes: number,
): Promise<EntryRow> {
  const column = sql.ref(stream === 'stdout' ? 'stdout_bytes' : 'stderr_bytes');
  const { rows } = await sql<EntryRow>`
    update log_entries set ${column} = ${bytes}
    where job_id = ${jobId} and attempt = ${attempt} and entry = ${entry}
    returning *
  `.execute(tx);
  return rows[0] as EntryRow;
}

/** Returns the entry as people see it. */
export function entryOf(row: EntryRow): LogEntry {
  const dropped = (bytes: number) => Math.max(0, bytes - streamBytesMax);
  const droppedBytes = { stdout: dropped(row.stdout_bytes), stderr: dropped(row.stderr_bytes) };
  return {
    entry: row.entry,
    attempt: row.attempt,
    key: row.key,
    command: row.command,
    startTime: row.start_time.toISOString(),
    durationMs: row.duration_ms,
    exitCode: row.exit_code,
    ...(droppedBytes.stdout + droppedBytes.stderr > 0 && { droppedBytes }),
  };
}
