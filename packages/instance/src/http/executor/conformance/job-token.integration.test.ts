import { type Job, madeCredentialSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { type GitTarget, repository, startGitTarget } from '../../../testing/git-target.ts';
import { extendLease, startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { makeSource, type Source } from '../../../testing/source.ts';
import { answerOf, upstreamExecutor } from './upstream.ts';

let server: TestServer;
let source: Source;
let target: GitTarget;
let instance: TestInstance;
let job: Job;
beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  instance = target.instance;
  await target.put(source.commit, source.alone(source.commit));
  job = await upstreamExecutor(instance).leased({ repository: 'acme/payments', commit: source.commit });
  await extendLease(instance, job);
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
const routes = (queue?: string) => instance.executor({ name: 'up' }).job(job, { ...(queue && { queue }) });

describe('a job token', () => {
  test('reads the repository of its job', async () => {
    expect((await routes().refs(repository)).status).toBe(200);
  });

  test('works on the routes of its queue', async () => {
    expect(await add({})).toEqual([200, '1']);
  });

  test('is refused on the routes of another queue', async () => {
    expect(await answerOf(routes('batches').complete())).toEqual([403, 'invalid token']);
  });

  test('is refused for another repository', async () => {
    expect(await answerOf(routes().refs('acme/other'))).toEqual([403, 'invalid token']);
  });

  const form = 'HTTP Authorization request header value must be of the following form: "Bearer TOKEN"';
  test.each<[string, Record<string, string>, number, string]>([
    ['a header of one part', { authorization: 'one' }, 401, form],
    [
      'another scheme',
      { authorization: 'basic x' },
      401,
      'unrecognized HTTP Authorization request header scheme (supported values: "Bearer")',
    ],
    [
      'an empty token',
      { authorization: 'Bearer ' },
      401,
      'no token value in the HTTP Authorization request header',
    ],
    [
      'a request without a job',
      { 'x-sourcegraph-job-id': '' },
      400,
      "job ID not provided in header 'X-Sourcegraph-Job-ID'",
    ],
    [
      'a job that is no number',
      { 'x-sourcegraph-job-id': 'abc' },
      400,
      'failed to parse Job ID: strconv.Atoi: parsing "abc": invalid syntax',
    ],
    [
      'a request without an executor',
      { 'x-sourcegraph-executor-name': '' },
      400,
      'worker hostname cannot be empty',
    ],
    ['an unknown token', { authorization: 'Bearer 0123' }, 401, 'invalid token'],
    ['the token of another job', { 'x-sourcegraph-job-id': '4711' }, 403, 'invalid token'],
    // Upstream accepts any executor name.
    ['another executor', { 'x-sourcegraph-executor-name': 'e2' }, 403, 'invalid token'],
  ])('%s is refused', async (_, headers, status, text) => {
    expect(await add(headers)).toEqual([status, text]);
  });

  // Upstream acts on the job that the body names, whatever the token is for.
  test('is refused when the body names another job', async () => {
    const body = { jobId: 4711, key: 'k', command: [], startTime: '2023-01-02T03:04:15Z' };
    const asked = upstreamExecutor(instance).onJob(job, 'addExecutionLogEntry', body);
    expect(await answerOf(asked)).toEqual([403, 'invalid token']);
  });
});

describe("the executors' credential on the routes of a job", () => {
  const credential = (secret: string) => ({ authorization: `token-executor ${secret}` });

  // Upstream accepts it from everybody.
  test('is refused', async () => {
    const text = 'unrecognized HTTP Authorization request header scheme (supported values: "Bearer")';
    expect(await add(credential(instance.credential))).toEqual([401, text]);
  });

  describe('when executors without job tokens are allowed', () => {
    let lenient: TestInstance;
    let old: Job;
    const entry = { key: 'k', command: [], startTime: '2023-01-02T03:04:15Z' };
    /** Sends a request that names its job in the body alone, as those executors do. */
    const send = (operation: string, body: object, secret = lenient.credential, more = {}) =>
      answerOf(
        lenient.executor().raw({
          method: 'POST',
          path: `/.executors/queue/codeintel/${operation}`,
          headers: { ...credential(secret), ...more },
          body: JSON.stringify({ executorName: 'up', jobId: old.id, ...body }),
        }),
      );
    beforeAll(async () => {
      lenient = await startTestInstance(await server.clone(), { executorsWithoutJobTokens: true });
      old = await upstreamExecutor(lenient).leased();
      await extendLease(lenient, old);
    });
    afterAll(() => lenient.stop());

    test('works on a job of its executor, named by body or by headers', async () => {
      expect(await send('addExecutionLogEntry', entry)).toEqual([200, '1']);
      const headers = { 'x-sourcegraph-job-id': String(old.id), 'x-sourcegraph-executor-name': 'up' };
      expect(await send('addExecutionLogEntry', entry, lenient.credential, headers)).toEqual([200, '2']);
    });

    test('is 403 when it is wrong', async () => {
      expect(await send('addExecutionLogEntry', entry, 'wrong')).toEqual([403, '']);
    });

    test.each<[string, object]>([
      ['another executor', { executorName: 'e2' }],
      ['another job', { jobId: 4711 }],
      ['no job', { jobId: null }],
    ])('is refused for %s', async (_, names) => {
      expect((await send('addExecutionLogEntry', { ...entry, ...names }))[0]).toBeOneOf([400, 403]);
    });

    test.each<[string, object, string]>([
      ['job', { jobId: 4711 }, 'up'],
      ['executor', {}, 'e2'],
    ])('is refused when headers and body disagree on the %s', async (_, body, name) => {
      const headers = { 'x-sourcegraph-job-id': String(old.id), 'x-sourcegraph-executor-name': name };
      const [status] = await send('addExecutionLogEntry', { ...entry, ...body }, lenient.credential, headers);
      expect(status).toBe(403);
    });

    test('is refused for a job that an executor of another credential holds', async () => {
      const newCredential = { name: 'second', queues: ['codeintel'] };
      const second = await lenient.api('POST', '/api/access/executor-credentials', newCredential);
      const { secret } = madeCredentialSchema.parse(await second.json());
      expect(await send('addExecutionLogEntry', entry, secret)).toEqual([403, '']);
    });

    test('leaves the job token valid, and is still refused as a bearer', async () => {
      const executor = upstreamExecutor(lenient);
      expect(await answerOf(executor.onJob(old, 'addExecutionLogEntry', entry))).toEqual([200, '3']);
      const asBearer = executor.onJob({ ...old, token: lenient.credential }, 'addExecutionLogEntry', entry);
      expect((await answerOf(asBearer))[0]).toBe(401);
    });

    test('reads no repository without the number of a job', async () => {
      const headers = credential(lenient.credential);
      const asked = lenient.executor().job(old, { headers }).refs(repository);
      expect(await answerOf(asked)).toEqual([400, "job ID not provided in header 'X-Sourcegraph-Job-ID'"]);
    });

    test('is refused for a canceled job', async () => {
      await lenient.api('POST', `/api/jobs/${old.id}/cancel`);
      expect(await send('addExecutionLogEntry', entry)).toEqual([403, '']);
    });
  });
});
