import { type Job, madeCredentialSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../../db/testing.ts';
import { type GitTarget, gitPath, startGitTarget } from '../../../testing/git-target.ts';
import { jobHeaders, outlast, startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { makeSource, type Source } from '../../../testing/source.ts';
import { answerOf, upstreamExecutor } from './upstream.ts';

let server: TestServer;
let source: Source;
let target: GitTarget;
let instance: TestInstance;
let job: Job;
beforeAll(async () => {
  server = await startTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  instance = target.instance;
  await target.put(source.commit, source.alone(source.commit));
  job = await upstreamExecutor(instance).leased({ repository: 'acme/payments', commit: source.commit });
  await outlast(instance, job);
});
afterAll(async () => {
  await target.stop();
  await server.stop();
  source.remove();
});

const add = (headers: Record<string, string>) =>
  answerOf(
    upstreamExecutor(instance).onJob(
      job,
      'addExecutionLogEntry',
      { key: 'k', command: [], startTime: '2023-01-02T03:04:15Z' },
      headers,
    ),
  );
const refs = (path: string) =>
  fetch(`${instance.url}${path}/info/refs?service=git-upload-pack`, { headers: jobHeaders(job, 'up') });

describe('a job token', () => {
  test('B1: reads its repository', async () => {
    expect((await refs(gitPath)).status).toBe(200);
  });

  // B2, B4: no job has files yet, and which routes there are the types say.
  test('B3: works on the routes of its queue', async () => {
    expect(await add({})).toEqual([200, '1']);
  });

  test('B5: not on those of another one', async () => {
    const body = JSON.stringify({ executorName: 'up', jobId: job.id });
    const url = `${instance.url}/.executors/queue/batches/markComplete`;
    const asked = fetch(url, { method: 'POST', headers: jobHeaders(job, 'up'), body });
    expect(await answerOf(asked)).toEqual([403, 'invalid token']);
  });

  test('B7: nor does it read another repository', async () => {
    expect(await answerOf(refs('/.executors/git/acme/other'))).toEqual([403, 'invalid token']);
  });

  const form = 'HTTP Authorization request header value must be of the following form: "Bearer TOKEN"';
  test.each<[string, Record<string, string>, number, string]>([
    ['B8: one part', { authorization: 'one' }, 401, form],
    [
      'B9: another scheme',
      { authorization: 'basic x' },
      401,
      'unrecognized HTTP Authorization request header scheme (supported values: "Bearer")',
    ],
    [
      'B10: an empty token',
      { authorization: 'Bearer ' },
      401,
      'no token value in the HTTP Authorization request header',
    ],
    [
      'B13: no job',
      { 'x-sourcegraph-job-id': '' },
      400,
      "job ID not provided in header 'X-Sourcegraph-Job-ID'",
    ],
    [
      'B14: a job that is no number',
      { 'x-sourcegraph-job-id': 'abc' },
      400,
      'failed to parse Job ID: strconv.Atoi: parsing "abc": invalid syntax',
    ],
    ['B15: no executor', { 'x-sourcegraph-executor-name': '' }, 400, 'worker hostname cannot be empty'],
    ['B16: a token that there is not', { authorization: 'Bearer 0123' }, 401, 'invalid token'],
    ['B17: the token of another job', { 'x-sourcegraph-job-id': '4711' }, 403, 'invalid token'],
    // Upstream takes any name: B18, that the lookup fails, cannot happen without one.
    ['B19: another executor', { 'x-sourcegraph-executor-name': 'e2' }, 403, 'invalid token'],
  ])('%s is refused', async (_, headers, status, text) => {
    expect(await add(headers)).toEqual([status, text]);
  });

  // Upstream acts on the body's job, whatever the token is for.
  test('is for the job that the body names', async () => {
    const said = { jobId: 4711, key: 'k', command: [], startTime: '2023-01-02T03:04:15Z' };
    const asked = upstreamExecutor(instance).onJob(job, 'addExecutionLogEntry', said);
    expect(await answerOf(asked)).toEqual([403, 'invalid token']);
  });
});

describe("the executors' credential on the routes of a job", () => {
  const credential = (secret: string) => ({ authorization: `token-executor ${secret}` });

  // Upstream takes it from everybody: B11, B12.
  test('B11: is not taken', async () => {
    const text = 'unrecognized HTTP Authorization request header scheme (supported values: "Bearer")';
    expect(await add(credential(instance.credential))).toEqual([401, text]);
  });

  describe('where executors older than job tokens are welcome', () => {
    let lenient: TestInstance;
    let old: Job;
    const entry = { key: 'k', command: [], startTime: '2023-01-02T03:04:15Z' };
    /** Names its job in the body alone, as they do. */
    const send = (operation: string, body: object, secret = lenient.credential, more = {}) =>
      answerOf(
        fetch(`${lenient.url}/.executors/queue/codeintel/${operation}`, {
          method: 'POST',
          headers: { ...credential(secret), ...more },
          body: JSON.stringify({ executorName: 'up', jobId: old.id, ...body }),
        }),
      );
    beforeAll(async () => {
      lenient = await startTestInstance(await server.clone(), { executorsWithoutJobTokens: true });
      old = await upstreamExecutor(lenient).leased();
      await outlast(lenient, old);
    });
    afterAll(() => lenient.stop());

    test('B11: works on a job that it holds, named by body or by headers', async () => {
      expect(await send('addExecutionLogEntry', entry)).toEqual([200, '1']);
      const headers = { 'x-sourcegraph-job-id': String(old.id), 'x-sourcegraph-executor-name': 'up' };
      expect(await send('addExecutionLogEntry', entry, lenient.credential, headers)).toEqual([200, '2']);
    });

    test('B12: a wrong one is 403, before the body is read', async () => {
      expect(await send('addExecutionLogEntry', entry, 'wrong')).toEqual([403, '']);
    });

    test.each<[string, object]>([
      ['another executor', { executorName: 'e2' }],
      ['another job', { jobId: 4711 }],
      ['no job', { jobId: null }],
    ])('B11: is refused for %s', async (_, names) => {
      expect((await send('addExecutionLogEntry', { ...entry, ...names }))[0]).toBeOneOf([400, 403]);
    });

    test.each<[string, object, string]>([
      ['job', { jobId: 4711 }, 'up'],
      ['executor', {}, 'e2'],
    ])('B11: is refused when headers and body disagree on the %s', async (_, body, name) => {
      const headers = { 'x-sourcegraph-job-id': String(old.id), 'x-sourcegraph-executor-name': name };
      const [status] = await send('addExecutionLogEntry', { ...entry, ...body }, lenient.credential, headers);
      expect(status).toBe(403);
    });

    test("B11: is refused for a job that another credential's executor holds", async () => {
      const wanted = { name: 'second', queues: ['codeintel'] };
      const second = await lenient.api('POST', '/api/access/executor-credentials', wanted);
      const { secret } = madeCredentialSchema.parse(await second.json());
      expect(await send('addExecutionLogEntry', entry, secret)).toEqual([403, '']);
    });

    test('B11: the job token of its payload stays good, and bearers are as strict as ever', async () => {
      const executor = upstreamExecutor(lenient);
      expect(await answerOf(executor.onJob(old, 'addExecutionLogEntry', entry))).toEqual([200, '3']);
      const asBearer = executor.onJob({ ...old, token: lenient.credential }, 'addExecutionLogEntry', entry);
      expect((await answerOf(asBearer))[0]).toBe(401);
    });

    test('B11: reads no repository without naming a job', async () => {
      const url = `${lenient.url}${gitPath}/info/refs?service=git-upload-pack`;
      const asked = fetch(url, { headers: credential(lenient.credential) });
      expect(await answerOf(asked)).toEqual([400, "job ID not provided in header 'X-Sourcegraph-Job-ID'"]);
    });

    test('B11: a job that was canceled takes nothing more', async () => {
      await lenient.api('POST', `/api/jobs/${old.id}/cancel`);
      expect(await send('addExecutionLogEntry', entry)).toEqual([403, '']);
    });
  });
});
