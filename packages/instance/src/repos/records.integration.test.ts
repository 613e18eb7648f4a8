import { setRepositorySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { openVault } from '../secrets/vault.ts';
import {
  claimRepository,
  failSync,
  finishSync,
  passwordOf,
  readRepository,
  removeRepository,
  renewClaim,
  requestSync,
  setRepository,
} from './records.ts';

let server: TestServer;
let db: Db;
beforeAll(async () => {
  server = openTestServer();
  db = connect(await server.clone());
});
afterAll(async () => {
  await db.destroy();
  await server.stop();
});

const vault = openVault(Buffer.alloc(32, 1));
const password = 'correct-horse-battery';
const request = setRepositorySchema.parse({ url: 'https://git.test/a', username: 'u', password });
const refs = new Map([['refs/heads/main', 'a'.repeat(40)]]);
const remote = { head: 'refs/heads/main', refs, commits: refs };
const due = (name: string) => requestSync(db, name);

test('the password of a repository is stored for its URL and user alone', async () => {
  await setRepository(db, vault, 'a', request);
  const { rows } = await sql<{ password: Buffer }>`select * from repositories`.execute(db);
  expect(JSON.stringify(rows) + rows[0]?.password.toString('latin1')).not.toContain(password);
  const claimed = await claimRepository(db);
  if (!claimed) throw new Error('nothing is due');
  expect(passwordOf(vault, claimed)).toBe(password);
  expect(() => passwordOf(vault, { ...claimed, url: 'https://elsewhere.test/a' })).toThrow(
    'cannot be decrypted',
  );
  await removeRepository(db, 'a');
});

test('one replica at a time syncs a repository, and a claim that was lost stores nothing', async () => {
  await setRepository(db, vault, 'a', request);
  const first = await claimRepository(db);
  if (!first) throw new Error('nothing is due');
  await due('a');
  expect(await claimRepository(db)).toBeNull();
  await sql`update repositories set claimed_until = clock_timestamp()`.execute(db);
  const second = await claimRepository(db);
  if (!second) throw new Error('nothing is due');
  expect([await renewClaim(db, first), await renewClaim(db, second)]).toEqual([false, true]);
  expect(await finishSync(db, first, { place: 'x', remote })).toBe(false);
  await failSync(db, first, 'late');
  expect(await readRepository(db, 'a')).toMatchObject({ commit: null, failure: null });
  expect(await finishSync(db, second, { place: 'y', remote })).toBe(true);
  expect(await readRepository(db, 'a')).toMatchObject({ commit: 'a'.repeat(40), branches: 1 });
});

test('a sync that was asked for while another one runs is done afterwards', async () => {
  await due('a');
  const running = await claimRepository(db);
  if (!running) throw new Error('nothing is due');
  await due('a');
  await finishSync(db, running, { place: 'y', remote });
  expect(await claimRepository(db)).toMatchObject({ name: 'a' });
});

test('a sync that failed is tried again later each time, but not later than the interval', async () => {
  await sql`update repositories set claim = null, claimed_until = null`.execute(db);
  const waits: number[] = [];
  for (let n = 0; n < 7; n += 1) {
    await due('a');
    const claimed = await claimRepository(db);
    if (!claimed) throw new Error('nothing is due');
    await failSync(db, claimed, 'down');
    const { rows } = await sql<{ seconds: number }>`
      select round(extract(epoch from sync_after - clock_timestamp()))::int as seconds from repositories
    `.execute(db);
    waits.push(rows[0]?.seconds ?? 0);
  }
  expect(waits).toEqual([10, 20, 40, 80, 160, 300, 300]);
});
