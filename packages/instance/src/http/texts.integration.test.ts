import { type Job, type JobResultRequest, jobRecordSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { jobHeaders, nativeOffer } from '../testing/executor-client.ts';
import { extendLease, startTestInstance, type TestInstance } from '../testing/instance.ts';

/** What the database cannot store: NUL and half of a surrogate pair in texts, numbers and times beyond their columns. */
let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

const bad = 'a\0b\ud800c';
const mended = 'a␀b�c';
const entry = { key: 'step.docker.0', command: ['sh'], startTime: '2026-01-02T03:04:05Z' };
const result: Omit<JobResultRequest, 'executorName' | 'jobId'> = {
  tier: 'vm-emulated',
  vmm: 'qemu',
  exitCode: 7,
  guest: { kernel: '6.1', interfaces: ['lo'] },
  inspection: { searchedBytes: 1, credentials: 1, found: 0, controlFound: true },
  leftOver: { files: 0 },
};

async function leased(): Promise<Job> {
  const { id } = await instance.run();
  const job = (await instance.lease()) as Job;
  expect(job.id).toBe(id);
  await extendLease(instance, job);
  return job;
}
const on = (job: Job) => instance.executor().job(job);
const record = async ({ id }: Pick<Job, 'id'>) =>
  jobRecordSchema.parse(await (await instance.api('GET', `/api/jobs/${id}`)).json());

describe('text that a job wrote', () => {
  test('ends the job, with its exit code, when the last lines of the step hold a NUL', async () => {
    const job = await leased();
    expect((await on(job).result(result)).status).toBe(204);
    expect((await on(job).failed(`the step ended with 7\n${bad}`, 'step_failed')).status).toBe(204);
    expect(await record(job)).toMatchObject({
      state: 'failed',
      exitCode: 7,
      failure: { reason: 'step_failed', message: `the step ended with 7\n${mended}` },
    });
  });

  test('as output of an entry is stored without loss', async () => {
    const job = await leased();
    expect((await on(job).addEntry({ ...entry, out: 'stdout: a\0b\n' })).status).toBe(200);
    expect((await on(job).complete()).status).toBe(204);
    const events = await (await instance.api('GET', `/api/jobs/${job.id}/events`)).text();
    expect(events).toContain(Buffer.from('stdout: a\0b\n').toString('base64'));
  });

  test('in facts of the guest and of the command is stored with symbols in its place', async () => {
    const job = await leased();
    await on(job).addEntry({ ...entry, command: [bad] });
    const facts = { ...result, guest: { kernel: bad, interfaces: [bad] }, leftOver: { [bad]: 1 } };
    expect((await on(job).result(facts)).status).toBe(204);
    expect(await record(job)).toMatchObject({
      guest: { kernel: mended, interfaces: [mended] },
      leftOver: { [mended]: 1 },
    });
  });
});

test('PostgreSQL refuses each of them, so that the tests of this file can fail', async () => {
  const refusal = async (query: Promise<unknown>) =>
    await query.then(
      () => null,
      (error: { code?: string }) => error.code,
    );
  expect(await refusal(sql`select ${'a\0'}::text`.execute(instance.db))).toBe('22021');
  expect(await refusal(sql`select ${JSON.stringify('a\0')}::jsonb`.execute(instance.db))).toBe('22P05');
  expect(await refusal(sql`select ${JSON.stringify('\ud800')}::jsonb`.execute(instance.db))).toBe('22P02');
  expect(await refusal(sql`select ${2 ** 31}::int`.execute(instance.db))).toBe('22003');
  expect(await refusal(sql`select ${'0000-01-01T00:00:00Z'}::timestamptz`.execute(instance.db))).toBe(
    '22008',
  );
});

/** Returns copies of a body, each with one text, number or name replaced by one that cannot be stored. */
function* spoiled(body: unknown): Generator {
  if (typeof body === 'string') yield* [bad, '0000-01-01T00:00:00Z', '2026-01-01T00:00:00+23:59'];
  if (typeof body === 'number') yield* [2 ** 31, 2 ** 53 - 1, -(2 ** 40), 1e300, 0.5];
  if (Array.isArray(body))
    for (const [index, inner] of body.entries())
      for (const value of spoiled(inner)) yield body.with(index, value);
  else if (body !== null && typeof body === 'object')
    for (const [name, inner] of Object.entries(body)) {
      for (const value of spoiled(inner)) yield { ...body, [name]: value };
      yield { ...body, [`${name}${bad}`]: inner };
    }
}

const own = { executorName: 'e1' };
const executorBodies: Readonly<Record<string, object>> = {
  dequeue: {
    ...own,
    version: '1',
    ...{ numCPUs: 1, memory: '1G', diskSpace: '1G', queues: ['codeintel'] },
    fumehood: { ...nativeOffer({ room: { cpus: 1, memoryMiB: 1, scratchMiB: 1 } }), labels: ['a'] },
  },
  heartbeat: {
    ...own,
    ...{ version: '1', executorVersion: '1', queueNames: ['runs'], os: 'linux' },
    jobIdsByQueue: [{ queueName: 'runs', jobIds: [4711, '4712'] }],
    fumehood: { tiers: ['vm-emulated'], leases: [{ jobId: 4711, attempt: 1 }] },
  },
};
test.each(Object.keys(executorBodies))('no %s that holds one is answered with 500', async (route) => {
  const { headers } = instance.executor();
  for (const body of spoiled(executorBodies[route])) {
    const sent = JSON.stringify(body);
    const path = `${instance.url}/.executors/queue/${route}`;
    const answer = await fetch(path, { method: 'POST', headers, body: sent });
    const text = await answer.text();
    // Upstream's answers to these mistakes have this status.
    if (!/Invalid queue name|Invalid Semantic|hostname cannot|queueNames must/.test(text))
      expect([200, 204, 400, 403], `${sent}: ${text}`).toContain(answer.status);
  }
});

const jobBodies: Readonly<Record<string, object>> = {
  addExecutionLogEntry: { ...entry, exitCode: 1, durationMs: 1, out: 'x', fumehood: { entry: 1 } },
  updateExecutionLogEntry: { ...entry, entryId: 1, exitCode: 1, durationMs: 1, out: 'x' },
  result,
};
test.each(Object.keys(jobBodies))('no %s that holds one is answered with 500', async (operation) => {
  const job = await leased();
  await on(job).addEntry(entry);
  const path = `${instance.url}/.executors/queue/runs/${operation}`;
  for (const body of spoiled({ ...own, jobId: job.id, ...jobBodies[operation] })) {
    // An attempt stores only so many results, and changes of an entry.
    await sql`update attempts set results = 0`.execute(instance.db);
    await sql`update log_entries set changes = 0`.execute(instance.db);
    const sent = JSON.stringify(body);
    const answer = await fetch(path, { method: 'POST', headers: jobHeaders(job), body: sent });
    expect([200, 204, 400, 403], `${sent}: ${await answer.text()}`).toContain(answer.status);
  }
  for (const query of [
    'entry=2147483648&offset=0',
    'entry=1&offset=9007199254740993',
    'entry=1&offset=1e300',
  ]) {
    const append = `${instance.url}/.executors/queue/runs/appendLog?stream=stdout&${query}`;
    const answer = await fetch(append, { method: 'POST', headers: jobHeaders(job), body: 'x' });
    expect([400, 409], `${query}: ${await answer.text()}`).toContain(answer.status);
  }
});

test('requests of people that hold one are refused with 400, and say where', async () => {
  const image = await instance.image();
  const requests: [path: string, body: object][] = [
    [
      'jobs',
      {
        queue: 'runs',
        image,
        argv: ['sh'],
        env: ['A=1'],
        labels: ['a'],
        processAfter: '2026-01-01T00:00:00Z',
      },
    ],
    ['access/users', { name: 'ann', admin: false }],
    ['access/tokens', { name: 'one', scopes: ['jobs:read'], expiresAt: '2036-01-01T00:00:00Z' }],
    ['access/executor-credentials', { name: 'one', queues: ['runs'], expiresAt: '2036-01-01T00:00:00Z' }],
  ];
  for (const [path, body] of requests)
    for (const one of spoiled(body)) {
      const answer = await instance.api('POST', `/api/${path}`, one);
      const text = await answer.text();
      const harmless = answer.status === 201 || answer.status === 409;
      if (!harmless || JSON.stringify(one).includes('\\u0000'))
        expect([answer.status, text], JSON.stringify(one)).toEqual([
          400,
          expect.stringContaining('invalid_request'),
        ]);
    }
  const named = await instance.api('POST', '/api/jobs', { queue: 'runs', image, argv: ['sh', '-c', bad] });
  expect(await named.json()).toMatchObject({
    error: { message: 'body.argv.2 holds a NUL or half of a surrogate pair, which cannot be stored' },
  });
  for (const [method, path] of [
    ['GET', 'jobs?tenant=a%00b'],
    ['POST', 'executors/a%00b/drain'],
    ['PUT', 'shares/runs/a%00b'],
    ['GET', 'jobs?before=9223372036854775808'],
    ['GET', 'jobs/9223372036854775808'],
  ] as const) {
    const answer = await instance.api(method, `/api/${path}`, method === 'PUT' ? { weight: 1 } : undefined);
    expect(answer.status, path).toBe(400);
  }
});

test('a body that is nested more deeply than the stack is refused, and the instance goes on', async () => {
  const deep = `{"queue":"runs","more":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
  const answer = await fetch(`${instance.url}/api/jobs`, {
    method: 'POST',
    headers: { authorization: `token ${instance.accessToken}`, 'content-type': 'application/json' },
    body: deep,
  });
  expect(answer.status).toBe(400);
  expect((await instance.api('GET', '/api/status')).status).toBe(200);
});
