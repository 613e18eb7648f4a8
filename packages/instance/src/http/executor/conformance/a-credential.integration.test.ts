import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { answerOf, raw, upstreamExecutor } from './upstream.ts';

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

const get = (path: string, authorization?: string) =>
  answerOf(
    fetch(`${instance.url}${path}`, authorization === undefined ? {} : { headers: { authorization } }),
  );
const good = () => ({ authorization: `token-executor ${instance.credential}` });
const auth = '/.executors/test/auth';

describe('the credential of executors', () => {
  const form =
    'HTTP Authorization request header value must be of the following form: "token-executor TOKEN"';
  test.each<[string, string | undefined, string]>([
    ['A1: none', undefined, form],
    ['A2: one part', 'foo', form],
    [
      'A3: another scheme',
      'foo bar',
      'unrecognized HTTP Authorization request header scheme (supported values: "token-executor")',
    ],
    // Without upstream's "or basic auth": there is none here.
    ['A4: an empty secret', 'token-executor ', 'no token value in the HTTP Authorization request header'],
    ['A5: a wrong secret', 'token-executor wrong', ''],
  ])('%s is refused with 401', async (_, authorization, text) => {
    expect(await get(auth, authorization)).toEqual([401, text]);
  });

  test('A6: the right one is answered ok', async () => {
    expect(await get(auth, good().authorization)).toEqual([200, 'ok']);
  });

  test('A7: where there is none, 500', async () => {
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

describe('what `validate` asks', () => {
  test('F4: the credential, also below the prefix of the queues, and with a JSON body on a GET', async () => {
    for (const path of [auth, `/.executors/queue${auth}`]) {
      const ask = (headers: Record<string, string>) =>
        raw(`${instance.url}${path}`, 'GET', { 'content-type': 'application/json', ...headers }, 'null');
      expect(await ask(good())).toEqual({ status: 200, text: 'ok' });
      expect((await ask({ authorization: 'token-executor wrong' })).status).toBe(401);
    }
  });

  test('F5: the release of `src`, in both places, to anybody', async () => {
    for (const path of ['/.api/src-cli/version', '/.executors/queue/.api/src-cli/version'])
      expect(await get(path)).toEqual([200, '{"version":"7.6.0"}']);
  });
});

describe('a path', () => {
  test.each(['dequeue', 'heartbeat', 'addExecutionLogEntry', 'markComplete'])(
    'of a queue that there is not is 404: %s',
    async (operation) => {
      const executor = upstreamExecutor(instance);
      expect((await executor.executor(`nonsense/${operation}`, { executorName: 'up' })).status).toBe(404);
    },
  );

  test('of old times is 404: canceled jobs come with the heartbeat', async () => {
    const executor = upstreamExecutor(instance);
    expect((await executor.executor('codeintel/canceled', { executorName: 'up' })).status).toBe(404);
  });

  test('of a file is 404 as long as there is no queue whose jobs have files', async () => {
    expect((await get('/.executors/files/batch-changes/spec/file'))[0]).toBe(404);
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
  ])('takes its own methods: %s %s is 405', async (method, path, text) => {
    const answer = await raw(`${instance.url}${path}`, method, good());
    expect(answer.status).toBe(405);
    expect(answer.text).toContain(text);
  });

  // Upstream redirects, and a redirected POST arrives as a GET without a body.
  test('with a slash at its end is the same path', async () => {
    expect(await get(`${auth}/`, good().authorization)).toEqual([200, 'ok']);
    const url = `${instance.url}/.executors/queue/codeintel/dequeue/`;
    const body = '{"executorName":"up"}';
    expect((await raw(url, 'POST', good(), body)).status).toBe(204);
    expect((await raw(url, 'PUT', good(), body)).status).toBe(405);
  });

  test('says with 405 what it takes', async () => {
    const answer = await fetch(`${instance.url}/.executors/scip/upload`);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST, HEAD']);
    await answer.body?.cancel();
  });
});
