import type { LogEntry } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { commandMax, streamBytesMax } from '../limits.ts';

/** A row of `log_entries`, without the command. */
export interface EntryRow {
  readonly entry: number;
  readonly attempt: number;
  readonly key: string;
  readonly start_time: Date;
  readonly duration_ms: number | null;
  readonly exit_code: number | null;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
  /** How often its facts have changed. */
  readonly changes: number;
}

/** The command may be long, and is read only where people see it. */
const columns = sql.raw(
  'entry, attempt, key, start_time, duration_ms, exit_code, stdout_bytes, stderr_bytes, changes',
);

/** What an executor reports of a log entry. */
export interface EntryFacts {
  readonly key: string;
  readonly command: readonly string[];
  readonly startTime: string;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
}

/** An entry with an exit code has ended: if its executor does not say after what time, it is the time until now. */
const durationOf = ({ startTime, exitCode, durationMs }: EntryFacts) => sql`
  coalesce(${durationMs}::bigint, case when ${exitCode}::int is not null
    then greatest(0, round(extract(epoch from clock_timestamp() - ${startTime}::timestamptz) * 1000))::bigint end)`;

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
    select ${jobId}::bigint, ${attempt}::int, coalesce(${entry}::int, max(entry) + 1, 1), ${facts.key}, ${cutCommand(facts.command)}::text[],
      ${facts.startTime}::timestamptz, ${facts.exitCode}::int, ${durationOf(facts)}
    from log_entries where job_id = ${jobId} and attempt = ${attempt}
    on conflict (job_id, attempt, entry) do nothing
    returning ${columns}
  `.execute(tx);
  return rows[0];
}

/** Updates the facts of a log entry that can change; its key and its command stay. The transaction holds the job's row. */
export async function updateEntry(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
  facts: EntryFacts,
): Promise<EntryRow> {
  const { rows } = await sql<EntryRow>`
    update log_entries set start_time = ${facts.startTime}::timestamptz, exit_code = ${facts.exitCode}::int,
      duration_ms = ${durationOf(facts)}, changes = changes + 1
    where job_id = ${jobId} and attempt = ${attempt} and entry = ${entry}
    returning ${columns}
  `.execute(tx);
  return rows[0] as EntryRow;
}

/** Returns whether an update with these facts changes nothing of an entry. */
export function hasFacts(row: EntryRow, facts: EntryFacts): boolean {
  return (
    row.start_time.getTime() === Date.parse(facts.startTime) &&
    row.exit_code === facts.exitCode &&
    (row.duration_ms === facts.durationMs || (facts.durationMs === null && facts.exitCode !== null))
  );
}

/** Returns the beginning of a long command, and with it how much was cut off. */
function cutCommand(command: readonly string[]): string[] {
  const kept: string[] = [];
  let left = commandMax;
  let cut = 0;
  for (const word of command) {
    // An empty word takes room too.
    if (left > 0) kept.push(word.slice(0, left));
    cut += Math.max(0, word.length - Math.max(0, left));
    left -= word.length + 1;
  }
  const words = command.length - kept.length;
  return cut === 0 && words === 0 ? kept : [...kept, `… ${cut} characters and ${words} words left out …`];
}

/** Returns a log entry. */
export async function readEntry(
  tx: Db,
  jobId: number,
  attempt: number,
  entry: number,
): Promise<EntryRow | undefined> {
  const { rows } = await sql<EntryRow>`
    select ${columns}
    from log_entries where job_id = ${jobId} and attempt = ${attempt} and entry = ${entry}
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
    returning ${columns}
  `.execute(tx);
  return rows[0] as EntryRow;
}

/** Returns the entry as people see it, but for its command, which is stored once. */
export function entryOf(row: EntryRow): Omit<LogEntry, 'command'> {
  const dropped = (bytes: number) => Math.max(0, bytes - streamBytesMax);
  const droppedBytes = { stdout: dropped(row.stdout_bytes), stderr: dropped(row.stderr_bytes) };
  return {
    entry: row.entry,
    attempt: row.attempt,
    key: row.key,
    startTime: row.start_time.toISOString(),
    durationMs: row.duration_ms,
    exitCode: row.exit_code,
    ...(droppedBytes.stdout + droppedBytes.stderr > 0 && { droppedBytes }),
  };
}
