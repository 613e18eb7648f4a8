import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { JobLease } from '../queue/job.ts';
import type { Leased } from '../queue/queue.ts';
import { leaseOf, testQueue } from '../queue/testing.ts';
import { commandMax, entryChangesMax, eventBytesMax } from './limits.ts';
import { addEntry, appendLog, changeEntry } from './logs.ts';
import { readEntry } from './sql/entries.ts';
import { readEvents } from './sql/events.ts';

let server: TestServer;
let db: Db;
const { add, take } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone());
  return () => db.destroy();
});

const facts = {
  key: 'a',
  command: ['x'],
  startTime: '2026-01-02T03:04:05Z',
  exitCode: null,
  durationMs: null,
};

test('adding an entry again under its number changes nothing', async () => {
  const { id } = await add();
  const lease = leaseOf((await take()) as Leased);
  const data = Buffer.from('output');
  expect(await addEntry(db, lease, 1, facts, undefined)).toBe(1);
  await appendLog(db, lease, { entry: 1, stream: 'stdout', offset: 0, data });
  expect(await addEntry(db, lease, 1, { ...facts, key: 'b' }, Buffer.from('more'))).toBe(1);
  expect(await readEntry(db, id, 1, 1)).toMatchObject({ key: 'a', stdout_bytes: data.length });
  // An entry may arrive before an earlier one whose request was lost.
  expect(await addEntry(db, lease, 3, facts, undefined)).toBe(3);
  expect(await addEntry(db, lease, 2, facts, undefined)).toBe(2);
  expect(await addEntry(db, lease, null, facts, undefined)).toBe(4);
});

test('a whole output of some megabytes is stored in pieces, grows by what is new, and is replaced when it is another one', async () => {
  const { id } = await add();
  const lease = leaseOf((await take()) as Leased);
  const out = Buffer.alloc(12 * eventBytesMax + 5, 'some output\n');
  await addEntry(db, lease, 1, facts, out.subarray(0, -5));
  const stored = async () => {
    const events = (await readEvents(db, id, 0, 200)).filter(({ type }) => type === 'output');
    return { pieces: events.length, bytes: Buffer.concat(events.map(({ data }) => data)) };
  };
  expect((await stored()).pieces).toBe(12);
  await changeEntry(db, lease, 1, facts, out);
  await changeEntry(db, lease, 1, facts, out.subarray(0, 7)); // came late
  expect(await stored()).toEqual({ pieces: 13, bytes: out });
  out[out.length - 6] = 0;
  await changeEntry(db, lease, 1, facts, out);
  expect((await stored()).bytes.equals(out)).toBe(true);
});

test('an entry number above the limit is refused', async () => {
  await add();
  const lease = leaseOf((await take()) as Leased);
  await expect(addEntry(db, lease, 1_001, facts, undefined)).rejects.toMatchObject({
    code: 'too_many_entries',
  });
});

describe('the updates of an entry', () => {
  const long = { ...facts, command: ['sh', '-c', 'x'.repeat(1_000_000)] };
  let lease: JobLease;

  beforeEach(async () => {
    await add();
    lease = leaseOf((await take()) as Leased);
    await addEntry(db, lease, 1, long, undefined);
  });
  const update = (durationMs: number | null) => changeEntry(db, lease, 1, { ...long, durationMs }, undefined);
  const storedBytes = async () => {
    const { rows } = await sql<{ bytes: number }>`
      select sum(octet_length(e::text))::bigint as bytes from job_events e
    `.execute(db);
    return rows[0]?.bytes ?? 0;
  };
  const entries = async () => {
    const events = await readEvents(db, lease.jobId, 0, 200);
    return events.flatMap(({ body }) => (body?.type === 'entry' ? [body.entry] : []));
  };

  test('that change nothing store nothing', async () => {
    const before = await storedBytes();
    for (let n = 0; n < 20; n += 1) await update(null);
    expect(await storedBytes()).toBe(before);
  });

  test('that change something do not store the command again, and their readers see it', async () => {
    const before = await storedBytes();
    for (let n = 1; n <= 20; n += 1) await update(n);
    expect((await storedBytes()) - before).toBeLessThan(20 * 1_000);
    const seen = await entries();
    expect(seen.map(({ durationMs }) => durationMs)).toEqual([
      null,
      ...Array.from({ length: 20 }, (_, n) => n + 1),
    ]);
    for (const { command } of seen) {
      expect(command.slice(0, 2)).toEqual(['sh', '-c']);
      expect(command.join('').length).toBeLessThan(commandMax + 100);
      expect(command.at(-1)).toBe(`… ${1_000_000 - commandMax + 6} characters and 0 words left out …`);
    }
  });

  test('are refused beyond their number', async () => {
    await sql`update log_entries set changes = ${entryChangesMax - 1}`.execute(db);
    await update(1);
    await expect(update(2)).rejects.toMatchObject({ code: 'too_many_changes', status: 409 });
    expect((await entries()).at(-1)).toMatchObject({ durationMs: 1 });
    await update(1);
    // Without the count, the next one is stored.
    await sql`update log_entries set changes = 0`.execute(db);
    await update(2);
    expect((await entries()).at(-1)).toMatchObject({ durationMs: 2 });
  });
});
