import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Offer } from './offer.ts';
import { fenced, type Leased } from './queue.ts';
import { setDraining } from './sql/executors.ts';
import { leaseJobs } from './sql/leases.ts';
import { leaseOf, testQueue } from './testing.ts';

/** Batched leases. Single ones are tested in `queue.integration.test.ts`. */
let server: TestServer;
let db: Db;
const { add, take, renew, offer } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 12 });
  return () => db.destroy();
});

describe('concurrent leases for equal offers', () => {
  const executors = ['e1', 'e2', 'e3', 'e4', 'e5', 'e6'];
  const takeAll = (changes: Partial<Offer> = {}) =>
    Promise.all(executors.map((executor) => take({ ...changes, executor })));

  test('are one commit, with a job and a token for each request', async () => {
    const ids: number[] = [];
    for (const _ of executors) ids.push((await add()).id);
    const leased = await takeAll();
    expect(leased.map((one) => one?.job.id)).toEqual(ids);
    expect(leased.map((one) => one?.job.executor)).toEqual(executors);
    const { rows } = await sql<{ commits: number; tokens: number }>`
      select count(distinct xmin::text)::int as commits, count(distinct token_sha256)::int as tokens from jobs
    `.execute(db);
    expect(rows).toEqual([{ commits: 1, tokens: 6 }]);
    await Promise.all(leased.map((one) => fenced(db, leaseOf(one as Leased), async () => {})));
  });

  test('are given for as many requests as there are jobs', async () => {
    await add();
    await add({ cpus: 2 });
    expect((await takeAll()).filter((one) => one !== null)).toHaveLength(2);
    expect(await takeAll()).toEqual(executors.map(() => null));
  });

  test('alternate between tenants', async () => {
    for (const tenant of ['many', 'many', 'many', 'many', 'many', 'many', 'few', 'few', 'few'])
      await add({ tenant });
    const leased = await takeAll();
    expect(leased.filter((one) => one?.job.tenant === 'few')).toHaveLength(3);
    expect(leased.filter((one) => one?.job.tenant === 'many')).toHaveLength(3);
    expect((await takeAll()).filter((one) => one !== null)).toHaveLength(3);
  });

  test('skip a draining executor', async () => {
    for (const _ of executors) await add();
    await renew('e2', []);
    await setDraining(db, 'e2', true);
    const leased = await takeAll();
    expect(leased.map((one) => one !== null)).toEqual([true, false, true, true, true, true]);
    const asking = { offer: { ...offer, executor: 'e2' }, tokenHash: Buffer.alloc(32), leaseMs: 12_000 };
    expect(await leaseJobs(db, [asking], 8)).toEqual([
      { job: null, barred: true, credentialValid: true, contended: false },
    ]);
  });

  test.each([1, 20, 300])(
    'skip %i jobs whose rows another transaction holds, without waiting',
    async (held) => {
      for (let n = 0; n < held + 6; n += 1) await add();
      await db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ id: number }>`
        select id from jobs order by id limit ${held} for no key update`.execute(tx);
        const leased = await takeAll();
        expect(leased.filter((one) => one !== null)).toHaveLength(6);
        expect(rows.map(({ id }) => id)).not.toContain(leased[0]?.job.id);
        expect(await take()).toBeNull();
      });
      expect(await take()).not.toBeNull();
    },
  );
});
