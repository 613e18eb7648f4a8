import { createHash } from 'node:crypto';
import type { Job } from '@glovebox/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../db/testing.ts';
import { jobHeaders, startTestInstance, type TestInstance } from '../../testing/instance.ts';

/**
 * Every route of a job token, each tried with every token that is not this lease's. `lease` is the job that the request means;
 * the body always names it rightly, so that nothing but the token decides.
 */
const own = (job: Job) => ({ executorName: 'e1', jobId: job.id });
const entry = { key: 'step', command: [], startTime: '2026-01-02T03:04:05Z' };
const result = {
  tier: 'vm-emulated',
  vmm: 'qemu',
  exitCode: 0,
  guest: null,
  inspection: null,
  leftOver: {},
};
interface Route {
  readonly method: string;
  readonly path: (job: Job) => string;
  readonly body?: (job: Job) => string;
}
const json = (name: string, more: object): Route => ({
  method: 'POST',
  path: () => name,
  body: (job) => JSON.stringify({ ...own(job), ...more }),
});
const imageOf = (job: Job) => job.dockerSteps?.[0]?.image.replace('blob:', '') ?? '';
const routes: Record<string, Route> = {
  addExecutionLogEntry: json('addExecutionLogEntry', entry),
  updateExecutionLogEntry: json('updateExecutionLogEntry', { ...entry, entryId: 1 }),
  appendLog: {
    method: 'POST',
    path: () => 'appendLog?entry=1&stream=stdout&offset=0',
    body: () => 'bytes',
  },
  input: { method: 'GET', path: () => 'input?offset=0' },
  blob: { method: 'GET', path: (job) => `blob/${imageOf(job)}` },
  'blob, asked for': { method: 'HEAD', path: (job) => `blob/${imageOf(job)}` },
  result: json('result', result),
  markErrored: json('markErrored', { errorMessage: 'no' }),
  markFailed: json('markFailed', { errorMessage: 'no' }),
  markComplete: json('markComplete', {}),
};

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

async function leased(executor = 'e1'): Promise<Job> {
  await instance.run();
  const job = await instance.lease({ executor });
  if (!job) throw new Error('nothing was leased');
  const added = await send(json('addExecutionLogEntry', entry), job, jobHeaders(job, executor), executor);
  expect(added.status).toBe(200);
  return job;
}

function send(route: Route, job: Job, headers: Record<string, string>, executor = 'e1', queue = 'runs') {
  const body = route.body?.(job).replace('"e1"', JSON.stringify(executor));
  return fetch(`${instance.url}/.executors/queue/${queue}/${route.path(job)}`, {
    method: route.method,
    headers,
    ...(body !== undefined && { body }),
  });
}

/** What has been written of a job. */
async function traces(job: Job): Promise<unknown> {
  const { rows } = await sql`
    select state, (select count(*) from job_events where job_id = jobs.id) as events,
      (select jsonb_agg(e) from log_entries e where job_id = jobs.id) as entries,
      (select jsonb_agg(a) from attempts a where job_id = jobs.id) as attempts
    from jobs where id = ${job.id}
  `.execute(instance.db);
  return rows[0];
}

type Forge = (job: Job) => Promise<{ headers: Record<string, string>; queue?: string }>;
const forged: Record<string, Forge> = {
  'no token': async (job) => {
    const { authorization: _, ...headers } = jobHeaders(job);
    return { headers };
  },
  "the executors' credential": async (job) => ({
    headers: { ...jobHeaders(job), authorization: `token-executor ${instance.credential}` },
  }),
  "the executors' credential as a bearer": async (job) => ({
    headers: { ...jobHeaders(job), authorization: `Bearer ${instance.credential}` },
  }),
  'an access token': async (job) => ({
    headers: { ...jobHeaders(job), authorization: `token ${instance.accessToken}` },
  }),
  "another job's token": async (job) => ({
    headers: { ...jobHeaders(job), authorization: `Bearer ${(await leased()).token}` },
  }),
  "another job's token and number": async (_job) => ({ headers: jobHeaders(await leased()) }),
  "another executor's name": async (job) => ({ headers: jobHeaders(job, 'e2') }),
  'a token that another executor leased': async (job) => ({
    headers: { ...jobHeaders(job), authorization: `Bearer ${(await leased('e2')).token}` },
  }),
  'another queue': async (job) => ({ headers: jobHeaders(job), queue: 'codeintel' }),
};

describe.each(Object.entries(routes))('%s', (name, route) => {
  test.each(Object.entries(forged))('refuses %s, and writes nothing', async (who, forge) => {
    const job = await leased();
    const before = await traces(job);
    const { headers, queue } = await forge(job);
    const answer = await send(route, job, headers, 'e1', queue);
    // A read with another job's own token and number reads that job's, which is its right.
    const reads = route.method !== 'POST' || name === 'appendLog';
    if (!(who === "another job's token and number" && reads)) expect([401, 403]).toContain(answer.status);
    expect(await traces(job)).toEqual(before);
  });

  test('refuses the token of a lease that ran out, and of the attempt before', async () => {
    const job = await leased();
    await sql`update jobs set lease_expires_at = clock_timestamp() where id = ${job.id}`.execute(instance.db);
    expect((await send(route, job, jobHeaders(job))).status).toBe(401);
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute' where id = ${job.id}`.execute(
      instance.db,
    );
    const again = await instance.lease({ waitMs: 5_000 });
    expect(again).toMatchObject({ id: job.id, glovebox: { attempt: 2 } });
    expect((await send(route, job, jobHeaders(job))).status).toBe(401);
  });

  test('accepts its own token', async () => {
    const job = await leased();
    expect([200, 204]).toContain((await send(route, job, jobHeaders(job))).status);
  });
});

test.each([
  'addExecutionLogEntry',
  'updateExecutionLogEntry',
  'result',
  'markComplete',
  'markErrored',
  'markFailed',
])('%s refuses a body that names another job or executor than its token', async (name) => {
  const [job, other] = [await leased(), await leased()];
  const route = routes[name] as Route;
  expect((await send(route, other, jobHeaders(job))).status).toBe(403);
  expect((await send(route, job, jobHeaders(job), 'e2')).status).toBe(403);
});

test('a blob that the job does not name is not there for it', async () => {
  const job = await leased();
  const bytes = Buffer.from('of somebody else');
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  expect((await instance.api('PUT', `/api/blobs/${digest}`, bytes)).status).toBe(201);
  const route = { method: 'GET', path: () => `blob/${digest}` };
  expect((await send(route, job, jobHeaders(job))).status).toBe(404);
});

test('a token is stored as its hash alone', async () => {
  const job = await leased();
  const { rows } = await sql<{ text: string }>`
    select jobs::text || coalesce((select string_agg(e::text, '') from job_events e where job_id = jobs.id), '') as text
    from jobs where id = ${job.id}
  `.execute(instance.db);
  expect(rows[0]?.text).not.toContain(job.token);
});
