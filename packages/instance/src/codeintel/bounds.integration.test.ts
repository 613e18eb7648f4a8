import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { UploadGrant } from '../auth/upload.ts';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Leased } from '../queue/queue.ts';
import { leaseOf, testQueue } from '../queue/testing.ts';
import { scipDescription, scipDocument, scipFile, scipIndex } from '../testing/scip.ts';
import { type IndexLimits, indexLimits } from './limits.ts';
import { removeOldIndexes } from '../retention/indexes.ts';
import { noMirrors } from '../testing/no-mirrors.ts';
import { occurrencesAround } from './ranges.ts';
import { definitionsAt } from './read.ts';
import { readOwnDescription } from './sql/documents.ts';
import { readLocal, readOccurrences, readOccurrencesNear } from './sql/parts.ts';
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
  storeUpload(db, { grant }, place, inChunks(scipIndex(documents)), {
    limits: { ...indexLimits, ...changes },
  });

async function* inChunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
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

describe('documents of one path', () => {
  test('are one document with all occurrences', async () => {
    const parts = ['one', 'two', 'three', 'four'].map((symbol) => scipDocument('a', [`x ${symbol}`]));
    const id = await store([...parts, scipDocument('b', []), scipDocument('a', [])]);
    // All are at the same place.
    const symbols = (await readOccurrences(db, id, 'a')).map(([, , , , symbol]) => symbol).sort();
    expect(symbols).toEqual(['x four', 'x one', 'x three', 'x two']);
    expect(await readOccurrences(db, id, 'b')).toEqual([]);
  });
});

test('the occurrences around a line and those of a local symbol are found in a large document, whatever their order', async () => {
  const occurrences = Array.from({ length: 2_000 }, (_, n) => {
    const line = (n * 7_919) % 1_000;
    const end = n % 100 === 0 ? [line + 300, 2] : [9];
    return {
      range: [line, n % 5, ...end],
      symbol: n % 3 === 0 ? `local ${n % 50}` : `s m p 1 x${n}.`,
      role: 1 as const,
    };
  });
  const id = await store([scipFile('a', occurrences)]);
  const all = await readOccurrences(db, id, 'a');
  expect(all).toHaveLength(2_000);
  for (const line of [0, 1, 299, 500, 999, 1_200, 5_000]) {
    const isOn = ([from, , to]: readonly unknown[]) => Number(from) <= line && line <= Number(to);
    const near = await readOccurrencesNear(db, id, 'a', line);
    expect(near.occurrences.filter(isOn)).toEqual(all.filter(isOn));
  }
  expect((await readOccurrencesNear(db, id, 'a', 500)).occurrences.length).toBeLessThan(1_000);
  for (const symbol of ['local 0', 'local 49', 'local 50'])
    expect(await readLocal(db, id, 'a', symbol)).toEqual(all.filter((one) => one[4] === symbol));
});

describe('a document that is stored', () => {
  const documents = (last: string) => [
    ...Array.from({ length: 200 }, (_, n) =>
      scipDocument(
        `f${n}`,
        Array.from({ length: 50 }, (__, line) => `s m p 1 f${n}/x${line}.`),
      ),
    ),
    scipDocument('last', [last]),
  ];

  test('costs nothing again in the index of another commit', async () => {
    const first = await written(() => store(documents('one')));
    expect(await written(() => store(documents('two')))).toBeLessThan(first / 8);
  });

  test('that no index has is removed after a day', async () => {
    await store(documents('one'));
    await store([scipDocument('a', ['s'])]);
    const count = async () => (await sql`select from documents`.execute(db)).rows.length;
    const bounds = { before: new Date(0), maxBytes: 2 ** 40 };
    await removeOldIndexes({ db, ...noMirrors }, bounds);
    expect(await count()).toBe(202);
    await sql`update documents set used_at = used_at - interval '25 hours'`.execute(db);
    await removeOldIndexes({ db, ...noMirrors }, bounds);
    expect(await count()).toBe(1);
  });
});

test('of any number of symbols at a place, ten are looked up', async () => {
  const symbols = Array.from({ length: 30 }, (_, n) => `s m p 1 x${n}.`);
  const id = await store(symbols.map((symbol, n) => scipDocument('a', Array<string>(n + 1).fill(symbol))));
  const found = await definitionsAt(db, id, { path: 'a', line: 0, character: 1 });
  expect(new Set(found.map(({ symbol }) => symbol)).size).toBeLessThanOrEqual(10);
  const looked = occurrencesAround(await readOccurrences(db, id, 'a'), { line: 0, character: 1 });
  expect(new Set(looked.map(([, , , , symbol]) => symbol)).size).toBe(10);
});

test('a description that is too long is cut between two characters', async () => {
  const id = await store([scipDescription('a', 's m p 1 x.', `.${'🚀'.repeat(20_000)}`)]);
  const text = await readOwnDescription(db, id, 'a', 's m p 1 x.');
  expect(text?.slice(0, 3)).toBe('.🚀');
  expect(text).toHaveLength(20_000);
});

describe('an index is refused, and accepted by a larger limit, when it has too many', () => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => scipDocument(`f${n}`, ['s']));
  test.each<[what: string, documents: Buffer[], tight: Partial<IndexLimits>, code: string]>([
    ['documents', many(11), { documents: 10 }, 'index_too_big'],
    ['occurrences', [scipDocument('a', Array<string>(11).fill('s'))], { occurrences: 10 }, 'index_too_big'],
    ['bytes in a document', [scipDocument('a', ['s'.repeat(200)])], { documentBytes: 200 }, 'index_too_big'],
  ])('%s', async (_, documents, tight, code) => {
    await expect(store(documents, tight)).rejects.toMatchObject({ code });
    const { rows } = await sql`select from uploads`.execute(db);
    expect(rows).toEqual([]);
    await store(documents);
  });
});
