import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { UploadGrant } from '../auth/upload.ts';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Leased } from '../queue/queue.ts';
import { leaseOf, testQueue } from '../queue/testing.ts';
import { scipDocument, scipIndex } from '../testing/scip.ts';
import { type IndexLimits, indexLimits } from './limits.ts';
import { readDocument } from './sql/documents.ts';
import { storeUpload } from './store.ts';

const commit = '0'.repeat(40);
const place = { repository: 'acme/payments', commit, root: '', indexer: 'scip', indexerVersion: '1' };

let server: TestServer;
let db: Db;
let grant: UploadGrant;
const { add, take } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone());
  await add({ queue: 'codeintel', repository: 'acme/payments', commit });
  grant = { ...leaseOf((await take({ queues: ['codeintel'] }, 86_400_000)) as Leased), root: null };
  return () => db.destroy();
});

const store = (documents: readonly Buffer[], changes: Partial<IndexLimits> = {}) =>
  storeUpload(db, grant, place, inChunks(scipIndex(documents)), { ...indexLimits, ...changes });

async function* inChunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
/** Documents of one path, with symbols that do not compress. */
const sameTwice = (count: number) =>
  Array.from({ length: count }, () => scipDocument('src/a.ts', [randomBytes(150).toString('base64')]));

/** Returns how many bytes PostgreSQL writes to its log while `run` runs. */
async function written(run: () => Promise<unknown>): Promise<number> {
  const position = async () => {
    const { rows } = await sql<{ at: string }>`select pg_current_wal_insert_lsn() as at`.execute(db);
    return rows[0]?.at ?? '';
  };
  const before = await position();
  await run();
  const { rows } = await sql<{ bytes: number }>`
    select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), ${before}::pg_lsn)::bigint as bytes
  `.execute(db);
  return rows[0]?.bytes ?? 0;
}

/** Stores parts of a document one by one, each by appending it to what is stored. */
async function appendEach(upload: number, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const json = JSON.stringify([[1, 2, 1, 3, randomBytes(150).toString('base64'), 0]]);
    await sql`
      insert into upload_documents values (${upload}, 'src/a.ts', ${json}::jsonb)
      on conflict (upload_id, path) do update set occurrences = upload_documents.occurrences || excluded.occurrences
    `.execute(db);
  }
}

describe('documents of one path', () => {
  const count = 1_500;

  test('cost what their bytes cost, and without gathering them the square of that', async () => {
    const half = await written(() => store(sameTwice(count / 2)));
    const whole = await written(() => store(sameTwice(count)));
    expect(whole).toBeLessThan(2.5 * half);
    expect(whole).toBeLessThan(20 * count * 250);
    const upload = await store([]);
    expect(await written(() => appendEach(upload, count))).toBeGreaterThan(20 * whole);
  });

  test('are one document with all occurrences', async () => {
    const parts = ['one', 'two', 'three', 'four'].map((symbol) => scipDocument('a', [`x ${symbol}`]));
    const id = await store([...parts, scipDocument('b', []), scipDocument('a', [])]);
    const symbols = (await readDocument(db, id, 'a')).map(([, , , , symbol]) => symbol);
    expect(symbols).toEqual(['x one', 'x two', 'x three', 'x four']);
    expect(await readDocument(db, id, 'b')).toEqual([]);
  });
});

describe('an index is refused, and accepted by a larger limit, when it has too many', () => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => scipDocument(`f${n}`, ['s']));
  test.each<[what: string, documents: Buffer[], tight: Partial<IndexLimits>, code: string]>([
    ['documents', many(11), { documents: 10 }, 'index_too_big'],
    ['occurrences', [scipDocument('a', Array<string>(11).fill('s'))], { occurrences: 10 }, 'index_too_big'],
    ['bytes in a document', [scipDocument('a', ['s'.repeat(200)])], { documentBytes: 200 }, 'index_too_big'],
    ['bytes in a document in parts', sameTwice(2), { documentBytes: 300 }, 'index_too_big'],
    ['bytes in documents of one path', sameTwice(20), { repeatedBytes: 2_000 }, 'index_too_big'],
  ])('%s', async (_, documents, tight, code) => {
    await expect(store(documents, tight)).rejects.toMatchObject({ code });
    const { rows } = await sql`select from uploads`.execute(db);
    expect(rows).toEqual([]);
    await store(documents);
  });
});
