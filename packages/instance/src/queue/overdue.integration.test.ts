import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { addEntry, changeEntry } from '../logs/logs.ts';
import type { JobLease } from './job.ts';
import { endOverdue, fenced, type Leased } from './queue.ts';
import { readRecord } from './sql/jobs.ts';
import { leaseOf, testQueue } from './testing.ts';

const deadlineMs = 10_000;
/** The default: a minute after the deadline. */
const graceMs = 60_000;
const othersMs = 7_200_000;

let server: TestServer;
let db: Db;
let lease: JobLease;
const { add, take } = testQueue(() => db);

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  db = connect(await server.clone());
  await add({ deadlineMs });
  lease = leaseOf((await take({}, 86_400_000)) as Leased);
  return () => db.destroy();
});

const step = {
  key: 'step.docker.0',
  command: [],
  startTime: '2026-01-02T03:04:05Z',
  exitCode: null,
  durationMs: null,
};
const begin = (key: string) => addEntry(db, lease, null, { ...step, key }, undefined);
/** As if this long had passed: what happened so far is that much older. */
const elapse = async (ms: number) => {
  await sql`update jobs set started_at = started_at - make_interval(secs => ${ms / 1000})`.execute(db);
  await sql`update log_entries set added_at = added_at - make_interval(secs => ${ms / 1000})`.execute(db);
};
const check = () => endOverdue(db, new Map(), new Date());

describe('an attempt whose executor renews its lease for ever', () => {
  test('fails a minute after the deadline of its steps, and can write nothing more', async () => {
    await begin('setup.vm');
    await elapse(1_000_000); // a slow image does not count
    await begin('step.docker.0');
    await elapse(deadlineMs + graceMs - 2_000);
    expect(await check()).toBe(0);
    await elapse(4_000);
    // Without the check its lease is as valid as ever.
    await fenced(db, lease, async () => {});
    expect(await check()).toBe(1);
    expect(await readRecord(db, lease.jobId)).toMatchObject({
      state: 'failed',
      failure: { reason: 'deadline' },
    });
    await expect(fenced(db, lease, async () => {})).rejects.toMatchObject({ code: 'lease_lost' });
    expect(await check()).toBe(0);
  });

  test('has its later steps counted from the first one', async () => {
    await begin('step.docker.0');
    await changeEntry(db, lease, 1, { ...step, exitCode: 0, durationMs: 1 }, undefined);
    await elapse(deadlineMs + graceMs - 5_000);
    await begin('step.docker.1');
    await elapse(6_000);
    expect(await check()).toBe(1);
  });

  test('may upload for longer when its steps have ended', async () => {
    await begin('step.docker.0');
    await elapse(deadlineMs);
    await changeEntry(db, lease, 1, { ...step, exitCode: 0, durationMs: deadlineMs }, undefined);
    await elapse(600_000);
    expect(await check()).toBe(0);
  });

  test('fails in the end, also when it never reports a step', async () => {
    await begin('setup.vm');
    await elapse(deadlineMs + graceMs + othersMs - 5_000);
    expect(await check()).toBe(0);
    await elapse(10_000);
    expect(await check()).toBe(1);
  });
});
