import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@fumehood/base';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { helperConfigSchema } from '../helper/config.ts';
import type { Connection } from '../config.ts';
import { connect, type Db } from './connect.ts';
import { transaction, wake } from './transaction.ts';
import { openTestServer, type TestServer } from './testing.ts';
import { listen, type Wakes } from './wakes.ts';

let server: TestServer;
let connection: Connection;
let db: Db;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  connection = await server.clone();
  db = connect(connection, { connections: 1 });
});
afterEach(() => db.destroy());

test('a URL reaches the database of an admin', async () => {
  if ('url' in connection) throw new TypeError('the test server gives a socket');
  const { host, user, database } = connection;
  const url = `postgres:///${database}?host=${encodeURIComponent(host)}&user=${user}`;
  expect(helperConfigSchema.shape.databaseUrl.parse(url)).toBe(url);
  const byUrl = connect({ url }, { connections: 1 });
  const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(byUrl);
  await byUrl.destroy();
  expect(rows).toEqual([{ name: database }]);
});

describe('a statement', () => {
  test('is planned once per connection, also with lists as parameters', async () => {
    for (let n = 0; n < 8; n += 1)
      await sql`select name from users join unnest(${[n, n + 1]}::bigint[]) as of (id) using (id)`.execute(
        db,
      );
    const { rows } = await sql<{ own: number; general: number }>`
      select custom_plans::int as own, generic_plans::int as general from pg_prepared_statements
      where statement like '%as of (id)%'
    `.execute(db);
    expect(rows).toEqual([{ own: 0, general: 8 }]);
  });

  test('fails once after a newer instance has changed its table, and is then planned again', async () => {
    const read = () => sql`select * from users where name <> ${''}`.execute(db);
    await read();
    const newer = connect(connection, { connections: 1 });
    await sql`alter table users add column nickname text`.execute(newer);
    await newer.destroy();
    await expect(read()).rejects.toMatchObject({ code: '0A000' });
    expect((await read()).rows[0]).toHaveProperty('nickname');
  });
});

describe('a wake in a transaction', () => {
  let wakes: Wakes;
  let heard: number;
  beforeEach(async () => {
    wakes = listen(connection, systemClock);
    heard = 0;
    const subscription = wakes.subscribe('topic');
    const closing = new AbortController();
    void (async () => {
      while (!closing.signal.aborted) {
        const at = performance.now();
        await subscription.next(60_000, closing.signal);
        if (!closing.signal.aborted && performance.now() - at < 59_000) heard += 1;
      }
    })();
    // Once a first wake arrives, the connection listens.
    await expect
      .poll(async () => {
        wake(db, 'topic');
        await sleep(50);
        return heard;
      })
      .toBeGreaterThan(0);
    await sleep(100);
    heard = 0;
    return async () => {
      closing.abort();
      await wakes.close();
    };
  });

  test('is announced after the commit, not before', async () => {
    await transaction(db, async (tx) => {
      wake(tx, 'topic');
      await sleep(150);
      expect(heard).toBe(0);
    });
    await expect.poll(() => heard).toBe(1);
  });

  test('is not announced when the transaction is rolled back', async () => {
    const failing = transaction(db, async (tx) => {
      wake(tx, 'topic');
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    await sleep(150);
    expect(heard).toBe(0);
  });

  test('arrives when many topics are woken at once', async () => {
    for (let n = 0; n < 200; n += 1) wake(db, n === 150 ? 'topic' : `other:${n}`);
    await expect.poll(() => heard).toBe(1);
  });
});
