import type { JobLease } from '../queue/job.ts';
import type { Db } from '../db/connect.ts';
import { entryNotFound, offsetGap, tooManyEntries } from '../errors.ts';
import { fenced } from '../queue/queue.ts';
import { entriesMax, streamBytesMax } from './limits.ts';
import { type EntryFacts, entryOf, insertEntry, readEntry, saveBytes, updateEntry } from './sql/entries.ts';
import { appendEntryEvent, appendOutput } from './sql/events.ts';

/** Bytes of one stream of one entry. */
export interface Append {
  readonly entry: number;
  readonly stream: 'stdout' | 'stderr';
  readonly offset: number;
  readonly data: Buffer;
}

/**
 * A new log entry of the attempt; its number, which is `wanted` unless that is null: asked again, it stays as it is. `out` is
 * upstream's way to send output: whole, again and again; it is kept as the entry's stdout. Errors: `lease_lost`,
 * `too_many_entries`.
 */
export async function addEntry(
  db: Db,
  lease: JobLease,
  wanted: number | null,
  facts: EntryFacts,
  out: string | undefined,
): Promise<number> {
  return await fenced(db, lease, async (tx) => {
    const row = await insertEntry(tx, lease.jobId, lease.attempt, wanted, facts);
    if (!row) return wanted as number;
    if (row.entry > entriesMax) throw tooManyEntries(entriesMax);
    await appendEntryEvent(tx, lease.jobId, entryOf(row));
    await appendWhole(tx, lease, row.entry, out);
    return row.entry;
  });
}

/** Replaces what an entry says; its output stays or, with `out`, grows. Errors: `lease_lost`, `entry_not_found`. */
export async function changeEntry(
  db: Db,
  lease: JobLease,
  entry: number,
  facts: EntryFacts,
  out: string | undefined,
): Promise<void> {
  await fenced(db, lease, async (tx) => {
    const row = await updateEntry(tx, lease.jobId, lease.attempt, entry, facts);
    if (!row) throw entryNotFound(entry);
    await appendWhole(tx, lease, entry, out);
    await appendEntryEvent(tx, lease.jobId, entryOf(row));
  });
}

/** The part of a whole output that has not arrived before. */
async function appendWhole(tx: Db, lease: JobLease, entry: number, out: string | undefined): Promise<void> {
  if (out === undefined || out === '') return;
  await append(tx, lease, { entry, stream: 'stdout', offset: 0, data: Buffer.from(out) });
}

/**
 * Appends bytes at an offset; returns the next one. Bytes that arrived before are not kept twice. Errors: `lease_lost`,
 * `entry_not_found`, `offset_gap` with the wanted offset.
 */
export async function appendLog(db: Db, lease: JobLease, bytes: Append): Promise<number> {
  return await fenced(db, lease, (tx) => append(tx, lease, bytes));
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
  if (kept.length > 0)
    await appendOutput(tx, jobId, { attempt, entry, stream, offset: received, data: kept });
  const changed = await saveBytes(tx, jobId, attempt, entry, stream, end);
  // Said once when it begins; the entry's last update says how much it was.
  if (received <= streamBytesMax && end > streamBytesMax) await appendEntryEvent(tx, jobId, entryOf(changed));
  return end;
}
