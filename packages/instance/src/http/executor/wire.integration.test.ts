import { type Job, madeCredentialSchema } from '@glovebox/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from 'kysely';
import { startTestServer, type TestServer } from '../../db/testing.ts';
import { jobHeaders, startTestInstance, type TestInstance } from '../../testing/instance.ts';

/** Statuses and texts of upstream's conformance vectors; each test names its own (reference §10.1 to §10.4). */
let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  return () => instance.stop();
});

const get = (path: string, authorization?: string) =>
  fetch(`${instance.url}${path}`, authorization === undefined ? {} : { headers: { authorization } });
const answerOf = async (response: Response) => [response.status, await response.text()];
async function leased(): Promise<Job> {
  await instance.run();
  return (await instance.lease()) as Job;
}
const onJob = (job: Job, operation: string, more: object, headers: Record<string, string> = {}) =>
  instance.executor(
    `runs/${operation}`,
    { executorName: 'e1', jobId: job.id, ...more },
    { ...jobHeaders(job), ...headers },
  );
const entry = { key: 'setup.git.init', command: ['git', 'init'], startTime: '2023-01-02T03:04:15Z' };

describe('the credential of executors', () => {
  test.each([
    ['A1', undefined],
    ['A2', 'foo'],
    ['A3', 'foo bar'],
    ['A4', 'token-executor '],
    ['A5', 'token-executor wrong'],
  ])('%s: %s is refused with 401', async (_, authorization) => {
    expect((await get('/.executors/test/auth', authorization)).status).toBe(401);
  });

  test('A6: the right one is answered ok', async () => {
    const answer = await get('/.executors/test/auth', `token-executor ${instance.credential}`);
    expect(await answerOf(answer)).toEqual([200, 'ok']);
  });

  test('A7: without any, 500', async () => {
    await sql`update executor_credentials set revoked_at = clock_timestamp()`.execute(instance.db);
    const answer = await get('/.executors/test/auth', `token-executor ${instance.credential}`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain('Executors are not configured on this instance');
  });
});

describe('headers of a job route', () => {
  test.each<[string, Record<string, string>, number, string]>([
    ['B8', { authorization: 'one' }, 401, 'of the following form'],
    ['B9', { authorization: 'basic x' }, 401, 'unrecognized HTTP Authorization request header scheme'],
    ['B10', { authorization: 'Bearer ' }, 401, 'no token value in the HTTP Authorization request header'],
    ['B13', { 'x-sourcegraph-job-id': '' }, 400, "job ID not provided in header 'X-Sourcegraph-Job-ID'"],
    [
      'B14',
      { 'x-sourcegraph-job-id': 'abc' },
      400,
      'failed to parse Job ID: strconv.Atoi: parsing "abc": invalid syntax',
    ],
    ['B15', { 'x-sourcegraph-executor-name': '' }, 400, 'worker hostname cannot be empty'],
    ['B16', { authorization: 'Bearer 0123' }, 401, 'invalid token'],
    ['B17', { 'x-sourcegraph-job-id': '4711' }, 403, 'invalid token'],
    ['B19', { 'x-sourcegraph-executor-name': 'e2' }, 403, 'invalid token'],
  ])('%s: %o', async (_, headers, status, text) => {
    const answer = await onJob(await leased(), 'markComplete', {}, headers);
    expect(answer.status).toBe(status);
    expect(await answer.text()).toContain(text);
  });

  test('a queue that there is not is 404', async () => {
    const answer = await instance.executor('nonsense/markComplete', {});
    expect(answer.status).toBe(404);
  });
});

describe('operations on a job', () => {
  test('C12, C15: log entries are numbered from 1, and changed', async () => {
    const job = await leased();
    expect(await answerOf(await onJob(job, 'addExecutionLogEntry', entry))).toEqual([200, '1']);
    expect(await answerOf(await onJob(job, 'addExecutionLogEntry', entry))).toEqual([200, '2']);
    const ended = { ...entry, entryId: 1, exitCode: 0, durationMs: 20, out: 'stdout: done\n' };
    expect(await answerOf(await onJob(job, 'updateExecutionLogEntry', ended))).toEqual([204, '']);
  });

  test('C16: an entry that there is not', async () => {
    const answer = await onJob(await leased(), 'updateExecutionLogEntry', { ...entry, entryId: 7 });
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ error: 'unknown job' });
  });

  test.each([
    ['C17', 'markComplete', {}, 'completed'],
    ['C21', 'markErrored', { errorMessage: 'oops' }, 'failed'],
    ['C25', 'markFailed', { errorMessage: 'oops' }, 'failed'],
  ])('%s: %s is 204, ends the job, and its token is dead', async (_, operation, more, state) => {
    const job = await leased();
    expect((await onJob(job, operation, more)).status).toBe(204);
    const record = await (await instance.api('GET', `/api/jobs/${job.id}`)).json();
    expect(record).toMatchObject({ state });
    expect((await onJob(job, operation, more)).status).toBe(401);
  });

  test('C32: a body that is no JSON', async () => {
    const job = await leased();
    const answer = await fetch(`${instance.url}/.executors/queue/runs/markComplete`, {
      method: 'POST',
      headers: jobHeaders(job),
      body: '{',
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('Failed to unmarshal payload: ');
  });

  test('output sent whole, again and again, is kept once', async () => {
    const job = await leased();
    await onJob(job, 'addExecutionLogEntry', { ...entry, out: 'stdout: a\n' });
    await onJob(job, 'updateExecutionLogEntry', { ...entry, entryId: 1, out: 'stdout: a\nstdout: b\n' });
    const { rows } = await sql<{ data: Buffer }>`
      select data from job_events where type = 'output' order by seq
    `.execute(instance.db);
    expect(rows.map((row) => row.data.toString())).toEqual(['stdout: a\n', 'stdout: b\n']);
  });
});

describe('dequeue', () => {
  const ask = (body: object, path = 'dequeue') => instance.executor(path, body);
  test('C3, D3: nothing to do', async () => {
    expect((await ask({ executorName: 'e1', queues: [] })).status).toBe(204);
    expect((await ask({ executorName: 'e1', queues: ['runs'] })).status).toBe(204);
  });
  test('C4: no name', async () => {
    const answer = await ask({ executorName: '', queues: ['runs'] });
    expect([answer.status, await answer.json()]).toEqual([
      500,
      expect.objectContaining({ error: 'worker hostname cannot be empty' }),
    ]);
  });
  test('D4, D5: queues that there are not', async () => {
    const answer = await ask({ executorName: 'e1', queues: ['x', 'runs', 'y'] });
    expect(answer.status).toBe(500);
    expect((await answer.json()) as object).toMatchObject({
      error: "Invalid queue name(s) 'x, y' found. Supported queue names are 'batches, codeintel, runs'.",
    });
  });
  test("D1: the queue is named, and on the queue's own route it is not", async () => {
    await instance.run();
    expect(await instance.lease()).toMatchObject({ queue: 'runs' });
    await instance.run();
    const tiers = ['vm-emulated'];
    const total = { cpus: 1, memoryMiB: 1024, scratchMiB: 4096 };
    const native = {
      tiers,
      arch: 'x64',
      total,
      freeCpus: 1,
      freeMemoryMiB: 1024,
      freeScratchMiB: 4096,
      waitMs: 0,
    };
    const answer = await ask({ executorName: 'e1', version: '1', glovebox: native }, 'runs/dequeue');
    expect(await answer.json()).not.toHaveProperty('queue');
  });
  test('without the native extension gets no job that needs it, and no native part of one that does not', async () => {
    await instance.run({ accept: ['container'] });
    const upstream = { executorName: 'up', version: '5.3.0', queues: ['runs'] };
    expect((await ask(upstream)).status).toBe(204);
    await sql`update lines set needs_native = false`.execute(instance.db);
    const answer = await ask(upstream);
    expect(answer.status).toBe(200);
    expect(await answer.json()).not.toHaveProperty('glovebox');
    const { rows } = await sql`select lease_ms from jobs`.execute(instance.db);
    expect(rows).toEqual([{ lease_ms: 25_000 }]);
  });
  test('is held until work comes', async () => {
    const held = instance.lease({ waitMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { id } = await instance.run();
    expect((await held)?.id).toBe(id);
  });
  test('of an executor that went away while it was held leases nothing', async () => {
    const gone = new AbortController();
    const held = fetch(`${instance.url}/.executors/queue/dequeue`, {
      method: 'POST',
      signal: gone.signal,
      headers: { authorization: `token-executor ${instance.credential}`, 'x-glovebox-protocol': '1' },
      body: JSON.stringify({
        executorName: 'e1',
        queues: ['runs'],
        glovebox: {
          tiers: ['vm-emulated'],
          arch: 'x64',
          total: { cpus: 1, memoryMiB: 1024, scratchMiB: 4096 },
          freeCpus: 1,
          freeMemoryMiB: 1024,
          freeScratchMiB: 4096,
          waitMs: 60_000,
        },
      }),
    });
    setTimeout(() => gone.abort(), 200);
    await expect(held).rejects.toThrow();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { id } = await instance.run();
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(await (await instance.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({ state: 'queued' });
  });
  test('a name that another credential uses is refused', async () => {
    await instance.lease();
    const wanted = { name: 'second', queues: ['runs'] };
    const second = await instance.api('POST', '/api/access/executor-credentials', wanted);
    const { secret } = madeCredentialSchema.parse(await second.json());
    const answer = await instance.executor(
      'dequeue',
      { executorName: 'e1', queues: ['runs'] },
      { authorization: `token-executor ${secret}` },
    );
    expect(answer.status).toBe(403);
  });
});

describe('heartbeat', () => {
  const beat = (body: object, path = 'heartbeat') => instance.executor(path, { executorName: 'e1', ...body });
  test('D12, C29: ids of ours that still run, with their queue or without', async () => {
    const job = await leased();
    const ids = [String(job.id), '4711'];
    const many = await beat({ queueNames: ['runs'], jobIdsByQueue: [{ queueName: 'runs', jobIds: ids }] });
    expect(await many.json()).toEqual({ knownIds: [`${job.id}-runs`], cancelIds: [] });
    await instance.api('POST', `/api/jobs/${job.id}/cancel`);
    const one = await beat({ jobIds: [job.id] }, 'runs/heartbeat');
    expect(await one.json()).toEqual({ knownIds: [`${job.id}`], cancelIds: [`${job.id}`] });
  });
  test('D13: no queue', async () => {
    const answer = await beat({});
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({
      error: 'queueNames must be set for multi-queue heartbeats',
    });
  });
  test('D14: a queue that there is not', async () => {
    const answer = await beat({ queueNames: ['runs'], jobIdsByQueue: [{ queueName: 'x', jobIds: [] }] });
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain("Invalid queue name(s) 'x' found.");
  });
  test('D16: no jobs', async () => {
    expect(await (await beat({ queueNames: ['runs'] })).json()).toEqual({ knownIds: [], cancelIds: [] });
  });
});
