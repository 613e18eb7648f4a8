import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { answerOf, upstreamExecutor } from './upstream.ts';

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

const get = (path: string, authorization?: string) =>
  answerOf(
    fetch(`${instance.url}${path}`, authorization === undefined ? {} : { headers: { authorization } }),
  );
const validHeaders = () => ({ authorization: `token-executor ${instance.credential}` });
const auth = '/.executors/test/auth';
const raw = (method: string, path: string, headers: Record<string, string>, body?: string) =>
  answerOf(instance.executor().raw({ method, path, headers, ...(body && { body }) }));

describe('a credential of executors', () => {
  const form =
    'HTTP Authorization request header value must be of the following form: "token-executor TOKEN"';
  test.each<[string, string | undefined, string]>([
    ['a missing header', undefined, form],
    ['a header of one part', 'foo', form],
    [
      'another scheme',
      'foo bar',
      'unrecognized HTTP Authorization request header scheme (supported values: "token-executor")',
    ],
    // Upstream's text ends with "or basic auth", which this instance does not have.
    ['an empty secret', 'token-executor ', 'no token value in the HTTP Authorization request header'],
    ['a wrong secret', 'token-executor wrong', ''],
  ])('%s is refused with 401', async (_, authorization, text) => {
    expect(await get(auth, authorization)).toEqual([401, text]);
  });

  test('a valid one is answered with ok', async () => {
    expect(await get(auth, validHeaders().authorization)).toEqual([200, 'ok']);
  });

  test('any is answered with 500 by an instance that has no credentials', async () => {
    const other = await startTestInstance(await server.clone());
    await sql`update executor_credentials set revoked_at = clock_timestamp()`.execute(other.db);
    const headers = { authorization: `token-executor ${other.credential}` };
    expect(await answerOf(fetch(`${other.url}${auth}`, { headers }))).toEqual([
      500,
      '{"error":"Executors are not configured on this instance"}',
    ]);
    await other.stop();
  });
});

describe('what upstream’s `validate` asks', () => {
  test('tests the credential, also below the prefix of the queues, and with a JSON body on a GET', async () => {
    for (const path of [auth, `/.executors/queue${auth}`]) {
      const ask = (headers: Record<string, string>) =>
        raw('GET', path, { 'content-type': 'application/json', ...headers }, 'null');
      expect(await ask(validHeaders())).toEqual([200, 'ok']);
      expect((await ask({ authorization: 'token-executor wrong' }))[0]).toBe(401);
    }
  });

  test('returns the release of `src` to anybody, at both paths', async () => {
    for (const path of ['/.api/src-cli/version', '/.executors/queue/.api/src-cli/version'])
      expect(await get(path)).toEqual([200, '{"version":"7.6.0"}']);
  });
});

describe('a path', () => {
  test.each(['dequeue', 'heartbeat', 'addExecutionLogEntry', 'markComplete'])(
    'of an unknown queue is 404: %s',
    async (operation) => {
      const executor = upstreamExecutor(instance);
      expect((await executor.executor(`nonsense/${operation}`, { executorName: 'up' })).status).toBe(404);
    },
  );

  test('of upstream’s former canceled jobs is 404: heartbeats name them now', async () => {
    const executor = upstreamExecutor(instance);
    expect((await executor.executor('codeintel/canceled', { executorName: 'up' })).status).toBe(404);
  });

  test('of a file is refused: it takes the token of its job', async () => {
    expect((await get('/.executors/files/batch-changes/spec/file'))[0]).toBe(401);
  });

  test.each([
    ['GET', '/.executors/queue/dequeue', 'this path takes POST, not GET'],
    ['GET', '/.executors/queue/codeintel/heartbeat', 'this path takes POST, not GET'],
    ['PUT', '/.executors/queue/codeintel/markComplete', 'this path takes POST, not PUT'],
    ['POST', auth, 'this path takes GET and HEAD, not POST'],
    ['GET', '/.executors/scip/upload', 'this path takes POST and HEAD, not GET'],
    [
      'DELETE',
      '/.executors/git/acme/payments/info/refs',
      'this path takes GET and HEAD and POST, not DELETE',
    ],
  ])('is 405 for another method: %s %s', async (method, path, text) => {
    expect(await raw(method, path, validHeaders())).toEqual([405, expect.stringContaining(text)]);
  });

  // Upstream redirects, and clients turn a redirected POST into a GET without a body.
  test('with a slash at its end is the same path', async () => {
    expect(await get(`${auth}/`, validHeaders().authorization)).toEqual([200, 'ok']);
    const path = '/.executors/queue/codeintel/dequeue/';
    const body = '{"executorName":"up"}';
    expect((await raw('POST', path, validHeaders(), body))[0]).toBe(204);
    expect((await raw('PUT', path, validHeaders(), body))[0]).toBe(405);
  });

  test('names its methods in the `Allow` of a 405', async () => {
    const answer = await fetch(`${instance.url}/.executors/scip/upload`);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST, HEAD']);
    await answer.body?.cancel();
  });
});
