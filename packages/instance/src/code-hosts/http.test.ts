import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@fumehood/base';
import { afterEach, expect, test } from 'vitest';
import * as z from 'zod';
import { type HostHttp, openHost } from './http.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

const paused: number[] = [];
async function hostThat(listener: RequestListener): Promise<HostHttp> {
  const listening = createServer(listener);
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return openHost({
    ...{ name: 'forge', url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}/api` },
    ...{ headers: { authorization: 'token secret' }, clock: systemClock, limitedUntil: null },
    onLimited: async (until) => void paused.push(until),
  });
}

const answer = z.object({ number: z.int() });
const get = { method: 'GET', path: '/thing', answer } as const;
const answers = (status: number, body: string, headers = {}) =>
  hostThat((_request, response) => response.writeHead(status, headers).end(body));

test('a request has the path, the query and the body that were given', async () => {
  const seen: unknown[] = [];
  const http = await hostThat((request, response) => {
    const { method, url, headers } = request;
    seen.push(method, url, headers.authorization, headers['content-type']);
    request.pipe(response);
  });
  const request = {
    ...get,
    method: 'POST',
    query: { q: 'a/b c&d' },
    body: { number: 1, more: true },
  } as const;
  expect(await http(request)).toEqual({ number: 1 });
  expect(seen).toEqual(['POST', '/api/thing?q=a%2Fb%20c%26d', 'token secret', 'application/json']);
});

test.each([
  [
    'a token that is not valid',
    401,
    '{"message": "Bad credentials"}',
    'host_token_refused',
    '401, Bad credentials',
  ],
  ['a token that may not', 403, '', 'host_token_refused', '403'],
  [
    'a request that is refused',
    422,
    '{"message": "No", "errors": [{"field": "base"}]}',
    'host_refused',
    '422, No, [{"field":"base"}]',
  ],
  ['a conflict', 409, '{"message": ["Exists"]}', 'host_refused', '409, ["Exists"]'],
  ['a host that fails', 502, '<html>', 'host_unavailable', '502'],
  ['a page', 200, '<html>', 'host_answer_invalid', 'it is no JSON'],
  ['another answer', 200, '{"number": "1"}', 'host_answer_invalid', 'number'],
])('%s has an error that says so', async (_what, status, body, code, why) => {
  const http = await answers(status, body);
  await expect(http(get)).rejects.toMatchObject({ code, message: expect.stringContaining(why) });
});

test('a redirect is not followed', async () => {
  const http = await answers(302, '', { location: 'https://elsewhere.test/' });
  await expect(http(get)).rejects.toMatchObject({
    ...{
      code: 'host_refused',
      message: expect.stringContaining('it sends /thing to https://elsewhere.test/'),
    },
  });
});

test('what is not there is null, and so is what the token may not have of what is optional', async () => {
  expect(await (await answers(404, ''))(get)).toBeNull();
  expect(await (await answers(403, ''))({ ...get, optional: true })).toBeNull();
});

test('an answer without an end is read to its bound alone', async () => {
  const http = await hostThat((_request, response) => {
    response.on('error', () => {});
    const more = () => {
      while (response.write(Buffer.alloc(2 ** 20, ' ')));
      response.once('drain', more);
    };
    more();
  });
  await expect(http(get)).rejects.toMatchObject({
    ...{ code: 'host_answer_invalid', message: expect.stringContaining('more than 16777216 bytes') },
  });
});

test('a host that cannot be reached, and one that breaks off, are to be asked again', async () => {
  const http = await hostThat((request) => request.socket.destroy());
  await expect(http(get)).rejects.toMatchObject({ code: 'host_unavailable' });
  const closed = openHost({
    ...{ name: 'forge', url: 'http://127.0.0.1:1', headers: {}, clock: systemClock, limitedUntil: null },
    onLimited: async () => {},
  });
  await expect(closed(get)).rejects.toMatchObject({ code: 'host_unavailable' });
});

test('the answer to the last request before a pause counts, and the next request is not sent', async () => {
  const reset = String(Math.ceil(Date.now() / 1_000) + 100);
  let requests = 0;
  const http = await hostThat((_request, response) => {
    requests += 1;
    response
      .writeHead(200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset })
      .end('{"number": 1}');
  });
  expect(await http(get)).toEqual({ number: 1 });
  const retryAt = Number(reset) * 1_000;
  await expect(http(get)).rejects.toMatchObject({ code: 'host_rate_limited', details: { retryAt } });
  expect(paused).toEqual([retryAt]);
  expect(requests).toBe(1);
});
