import { type Job, type JobNetwork, jobNetworkSchema, type JobReceipt } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { removeOldJobs } from '../retention/rows.ts';
import { extendLease, startTestInstance, type TestInstance } from '../testing/instance.ts';
import { receiptOf } from '../testing/job-routes.ts';

let server: TestServer;
let instance: TestInstance;
let job: Job;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await instance.run({ maxRetries: 1, retryPauseMs: 0 });
  job = (await instance.lease()) as Job;
  await extendLease(instance, job);
});

const policy = { mode: 'public' } as const;
const send = (receipts: JobReceipt[], { ended = false, to = job } = {}) =>
  instance.executor().job(to).receipts({ policy, receipts, ended });
const range = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => receiptOf(from + index));
const network = async (query = ''): Promise<JobNetwork> =>
  jobNetworkSchema.parse(await (await instance.api('GET', `/api/jobs/${job.id}/network${query}`)).json());
const stored = async () => {
  const { rows } = await sql<{ networks: number; receipts: number }>`
    select (select count(*)::int from job_networks where job_id = ${job.id}) as networks,
      (select count(*)::int from job_receipts where job_id = ${job.id}) as receipts
  `.execute(instance.db);
  return rows[0];
};

test('receipts are read while the job runs, and a batch that is sent again changes nothing', async () => {
  const nothing = { policy: null, receipts: [], total: 0, dropped: 0, ended: false };
  expect(await network()).toEqual({ attempt: 1, ...nothing });
  for (let time = 0; time < 2; time += 1) expect((await send(range(0, 2))).status).toBe(204);
  expect((await send([receiptOf(1, { rule: 'another' }), receiptOf(2)])).status).toBe(204);
  const receipts = range(0, 3);
  expect(await network()).toEqual({ attempt: 1, policy, receipts, total: 3, dropped: 0, ended: false });
  expect((await send([], { ended: true })).status).toBe(204);
  expect((await send(range(0, 2))).status).toBe(204); // came late
  expect(await network()).toEqual({ attempt: 1, policy, receipts, total: 3, dropped: 0, ended: true });
});

test('of more than 1,000 receipts the first and the last 500 are kept, and the others are counted', async () => {
  for (const [from, to] of [
    [0, 400],
    [400, 800],
    [800, 1_300],
    [2_000, 2_010], // the executor did not keep those before
    [900, 1_000], // came late
  ] as const)
    expect((await send(range(from, to))).status).toBe(204);
  const { receipts, total, dropped } = await network();
  expect(receipts.map(({ seq }) => seq)).toEqual([
    ...range(0, 500).map(({ seq }) => seq),
    ...range(2_000, 2_010).map(({ seq }) => seq),
  ]);
  expect({ total, dropped }).toEqual({ total: 2_010, dropped: 1_500 });
  expect((await send(range(2_010, 2_510))).status).toBe(204);
  expect(await stored()).toEqual({ networks: 1, receipts: 1_000 });
  expect((await send(range(0, 501))).status).toBe(400);
});

test('a receipt is checked, and what a later version adds to the lists is taken', async () => {
  const bad: object[] = [
    { port: 65_536 },
    { verdict: 'perhaps' },
    { rule: 'x'.repeat(601) },
    { name: 'x'.repeat(254) },
    { seq: -1 },
    { at: 'now' },
    { kind: 'x'.repeat(41) },
    { reason: 'A reason' },
  ];
  for (const facts of bad)
    expect((await send([receiptOf(0, facts)])).status, JSON.stringify(facts)).toBe(400);
  expect(await stored()).toEqual({ networks: 0, receipts: 0 });
  const later = receiptOf(0, { kind: 'later', verdict: 'refused', reason: 'later_too' });
  expect((await send([{ ...later, name: 'a\0b', more: 1 } as JobReceipt])).status).toBe(204);
  expect((await network()).receipts).toEqual([{ ...later, name: 'a␀b' }]);
});

test('each attempt has its own receipts, and those of one whose lease has ended are refused', async () => {
  const first = job;
  expect((await send(range(0, 2))).status).toBe(204);
  await instance.executor().job(first).errored('once more');
  expect((await send(range(2, 3))).status).toBe(401);
  const second = (await instance.lease({ waitMs: 10_000 })) as Job;
  expect(second).toMatchObject({ id: first.id, fumehood: { attempt: 2 } });
  expect((await send(range(2, 3), { to: first })).status).toBe(401);
  expect((await send(range(0, 1), { to: second })).status).toBe(204);
  expect(await network()).toMatchObject({ attempt: 2, total: 1 });
  expect(await network('?attempt=1')).toMatchObject({ attempt: 1, total: 2 });
  expect((await instance.api('GET', `/api/jobs/${job.id}/network?attempt=3`)).status).toBe(404);
  expect((await instance.api('GET', `/api/jobs/${job.id}/network?attempt=0`)).status).toBe(400);
});

test('receipts count as a part of their job, and go with it', async () => {
  expect((await send(range(0, 500))).status).toBe(204);
  await instance.executor().job(job).complete();
  const bounds = { before: new Date(0), maxBytes: 50_000 };
  expect(await removeOldJobs(instance.db, bounds)).toBeGreaterThan(0);
  expect(await stored()).toEqual({ networks: 0, receipts: 0 });
});
