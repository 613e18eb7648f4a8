import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Offer } from './offer.ts';
import { readRecord } from './sql/jobs.ts';
import { testQueue } from './testing.ts';

let server: TestServer;
let db: Db;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone(), { connections: 2 });
  return () => db.destroy();
});

const { add, take } = testQueue(() => db);

describe('a lease of a job with a policy', () => {
  const without: Partial<Offer> = { egress: ['none'] };
  const upstream: Partial<Offer> = { protocol: 0, egress: ['public'], free: null };
  const ceilings = (...of: { queue: string | null; tenant: string | null; policy: object }[]) =>
    sql`insert into network_ceilings (queue, tenant, policy)
      select queue, tenant, policy from jsonb_to_recordset(${JSON.stringify(of)}::jsonb)
        as given (queue text, tenant text, policy jsonb)`.execute(db);

  test('is given to an executor that can hold the job to it, and to no other', async () => {
    const jobs: Record<string, number> = {};
    for (const egress of ['none', 'allow', 'learn', 'public'] as const)
      jobs[egress] = (await add({ egress, needsVersion: 0 })).id;
    // All others of these jobs are older, and it passes them by.
    expect((await take(upstream))?.job.id).toBe(jobs.public);
    expect(await take(upstream)).toBeNull();
    expect((await take(without))?.job.id).toBe(jobs.none);
    expect(await take(without)).toBeNull();
    expect((await take())?.job.id).toBe(jobs.allow);
    expect((await take())?.job.id).toBe(jobs.learn);
  });

  test('that is none, and uses the broker, is given to an executor with a network, also under a ceiling', async () => {
    await ceilings({ queue: 'runs', tenant: null, policy: { mode: 'none' } });
    const { id } = await add({ usesBroker: true });
    expect(await take(without)).toBeNull();
    expect((await take())?.job.id).toBe(id);
  });

  test('counts the ceilings of its queue and its tenant, and keeps them with the attempt', async () => {
    const none = { policy: { mode: 'none' } };
    await ceilings(
      { queue: 'runs', tenant: null, policy: { mode: 'public' } },
      { queue: 'codeintel', tenant: null, ...none },
      { queue: 'codeintel', tenant: 'acme', ...none },
      { queue: null, tenant: 'other', ...none },
    );
    const free = await add({ egress: 'public', needsVersion: 0 });
    const narrowed = await add({ egress: 'public', needsVersion: 0, tenant: 'other' });
    expect((await take(without))?.job.id).toBe(narrowed.id);
    expect((await take(upstream))?.job.id).toBe(free.id);
    const kept = [
      { queue: 'runs', tenant: null, policy: { mode: 'public' } },
      { queue: null, tenant: 'other', ...none },
    ];
    const { rows } = await sql`select egress_ceilings from jobs order by id`.execute(db);
    expect(rows).toEqual([{ egress_ceilings: [kept[0]] }, { egress_ceilings: kept }]);
    await sql`delete from network_ceilings`.execute(db);
    expect((await readRecord(db, narrowed.id))?.network).toMatchObject({
      applied: { mode: 'none' },
      narrowedBy: [kept[1]],
    });
  });

  test('leaves alone what version N-1 does not know, in whose own lines nothing changes', async () => {
    await add();
    await add({ egress: 'public' });
    await add({ needsVersion: 3 });
    // As version N-1 selects a line for an executor that offers no labels.
    const { rows } = await sql`select count(*)::int as of from lines where labels <@ '{}'::text[]`.execute(
      db,
    );
    expect(rows).toEqual([{ of: 1 }]);
    // Version N-1 makes a line with its own columns alone.
    await sql`update lines set needs_version = null, egress = null where labels = '{}'`.execute(db);
    expect((await take(without))?.job.id).toBeDefined();
    await add();
    expect((await take(without))?.job.id).toBeDefined();
  });
});
