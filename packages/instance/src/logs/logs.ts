import { logEntriesMax } from '@fumehood/protocol';
import type { JobLease } from '../queue/job.ts';
import type { Db } from '../db/connect.ts';
import { entryNotFound, offsetGap, tooManyChanges, tooManyEntries } from '../errors.ts';
import { fenced } from '../queue/queue.ts';
import { leaseTakesLog } from '../queue/sql/fence.ts';
import { entryChangesMax, eventBytesMax, streamBytesMax } from './limits.ts';
import {
  type EntryFacts,
  entryOf,
  hasFacts,
  insertEntry,
  readEntry,
  setStreamBytes,
  updateEntry,
} from './sql/entries.ts';
import { agreesWithOutput, appendEntryEvent, appendOutputEvent, removeOutput } from './sql/events.ts';

/** Bytes of one stream of one log entry. */
export interface Append {
  readonly entry: number;
  readonly stream: 'stdout' | 'stderr';
  readonly offset: number;
  readonly data: Uint8Array;
}

/**
 * Adds a log entry to the attempt and returns its number. The executor may choose the number (`number`): a repeated request
 * then leaves the entry as it is. `out` is the entry's whole output so far, which upstream's executors send again and again; it
 * is kept as the entry's stdout. Errors: `lease_lost`, `too_many_entries`.
 */
export async function addEntry(
  db: Db,
  lease: JobLease,
  number: number | null,
  facts: EntryFacts,
  out: Uint8Array | undefined,
): Promise<number> {
  return await logged(db, lease, async (tx) => {
    const row = await insertEntry(tx, lease.jobId, lease.attempt, number, facts);
    if (!row) return number as number;
    if (row.entry > logEntriesMax) throw tooManyEntries(logEntriesMax);
    await appendEntryEvent(tx, lease.jobId, entryOf(row));
    await appendWhole(tx, lease, row.entry, out);
    return row.entry;
  });
}

/**
 * Updates a log entry; its key and its command stay. Its output stays, or grows to `out`. An update that changes nothing writes
 * nothing. Errors: `lease_lost`, `entry_not_found`, `too_many_changes`.
 */
export async function changeEntry(
  db: Db,
  lease: JobLease,
  entry: number,
  facts: EntryFacts,
  out: Uint8Array | undefined,
): Promise<void> {
  await logged(db, lease, async (tx) => {
    const { jobId, attempt } = lease;
    const before = await readEntry(tx, jobId, attempt, entry);
    if (!before) throw entryNotFound(entry);
    await appendWhole(tx, lease, entry, out);
    if (hasFacts(before, facts)) return;
    if (before.changes >= entryChangesMax) throw tooManyChanges(entryChangesMax);
    await appendEntryEvent(tx, jobId, entryOf(await updateEntry(tx, jobId, attempt, entry, facts)));
  });
}

/** A write of the log, which a canceled attempt may still do. */
function logged<T>(db: Db, lease: JobLease, write: (tx: Db) => Promise<T>): Promise<T> {
  return fenced(db, lease, write, leaseTakesLog);
}

/**
 * Makes `out` the whole output: appends the part that has not arrived before or, if what is stored is not the beginning of `out`,
 * stores `out` in its place. An `out` that is only the beginning of what is stored came late, and changes nothing.
 */
async function appendWhole(
  tx: Db,
  lease: JobLease,
  entry: number,
  out: Uint8Array | undefined,
): Promise<void> {
  if (out === undefined || out.length === 0) return;
  const { jobId, attempt } = lease;
  if (!(await agreesWithOutput(tx, jobId, attempt, entry, 'stdout', out))) {
    await removeOutput(tx, jobId, attempt, entry, 'stdout');
    await setStreamBytes(tx, jobId, attempt, entry, 'stdout', 0);
  }
  await append(tx, lease, { entry, stream: 'stdout', offset: 0, data: out });
}

/**
 * Appends bytes at an offset and returns the next offset. Bytes that arrived before are ignored. Errors: `lease_lost`,
 * `entry_not_found`, `offset_gap` with the expected offset.
 */
export async function appendLog(db: Db, lease: JobLease, bytes: Append): Promise<number> {
  return await logged(db, lease, (tx) => append(tx, lease, bytes));
}

async function append(tx: Db, lease: JobLease, bytes: Append): Promise<number> {
  const { jobId, attempt } = lease;
  const { entry, stream } = bytes;
  const row = await readEntry(tx, jobId, attempt, entry);
  if (!row) throw entryNotFound(entry);
  const received = stream === 'stdout' ? row.stdout_bytes : row.stderr_bytes;
  if (bytes.offset > received) throw offsetGap(received, bytes.offset);
  const fresh = bytes.data.subarray(received - bytes.offset);
  if (fresh.length === 0) return received;
  const kept = fresh.subarray(0, Math.max(0, streamBytesMax - received));
  const end = received + fresh.length;
  for (let at = 0; at < kept.length; at += eventBytesMax) {
    const data = kept.subarray(at, at + eventBytesMax);
    await appendOutputEvent(tx, jobId, { attempt, entry, stream, offset: received + at, data });
  }
  const changed = await setStreamBytes(tx, jobId, attempt, entry, stream, end);
  // Followers learn once that bytes are dropped; the last update of the entry says how many.
  if (received <= streamBytesMax && end > streamBytesMax) await appendEntryEvent(tx, jobId, entryOf(changed));
  return end;
}
