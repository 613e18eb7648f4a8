import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Leased } from '../queue/queue.ts';
import { leaseOf, testQueue } from '../queue/testing.ts';
import { addEntry, appendLog } from './logs.ts';
import { readEntry } from './sql/entries.ts';

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
  expect(await addEntry(db, lease, 1, { ...facts, key: 'b' }, 'more')).toBe(1);
  expect(await readEntry(db, id, 1, 1)).toMatchObject({ key: 'a', stdout_bytes: data.length });
  // An entry may arrive before an earlier one whose request was lost.
  expect(await addEntry(db, lease, 3, facts, undefined)).toBe(3);
  expect(await addEntry(db, lease, 2, facts, undefined)).toBe(2);
  expect(await addEntry(db, lease, null, facts, undefined)).toBe(4);
});

test('an entry number above the limit is refused', async () => {
  await add();
  const lease = leaseOf((await take()) as Leased);
  await expect(addEntry(db, lease, 1_001, facts, undefined)).rejects.toMatchObject({
    code: 'too_many_entries',
  });
});
