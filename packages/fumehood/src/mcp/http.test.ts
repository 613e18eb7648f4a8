import { request } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterEach, describe, expect, it } from 'vitest';
import { serveHttp } from './http.ts';
import { testSource } from './testing.ts';

const token = 'a'.repeat(32);
let server: Awaited<ReturnType<typeof serveHttp>> | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});
async function listen(secret?: string): Promise<URL> {
  server = await serveHttp(testSource(), { host: '127.0.0.1', port: 0 }, secret);
  return new URL(server.url);
}

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}
const listTools = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });

/** Sends a request with any headers, also those that a browser sets itself. */
async function send(url: URL, { method = 'POST', path = '/mcp', headers, body = listTools }: Sent = {}) {
  const sent = request({
    ...{ host: url.hostname, port: url.port, method, path },
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
      ...headers,
    },
  });
  sent.end(method === 'POST' ? body : undefined);
  const [response] = await once(sent, 'response');
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode as number, text };
}

it('an agent uses the tools over HTTP', async () => {
  const url = await listen(token);
  const client = new Client({ name: 'test', version: '1' });
  const headers = { authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain('definition');
  const place = { repository: 'acme/greeter', path: 'src/main.ts', line: 5, column: 11 };
  const { structuredContent } = await client.callTool({ name: 'definition', arguments: place });
  expect(structuredContent).toMatchObject({ precision: 'exact' });
  expect(await client.callTool({ name: 'definition', arguments: {} })).toMatchObject({ isError: true });
  await client.close();
});

describe('a request is refused', () => {
  it('for another host than that of the server: the page of a name that points here has its own', async () => {
    const url = await listen();
    for (const host of ['evil.test', `evil.test:${url.port}`, '127.0.0.1', `127.0.0.1:1`])
      expect((await send(url, { headers: { host } })).status).toBe(403);
    for (const host of [url.host, `localhost:${url.port}`, `[::1]:${url.port}`])
      expect((await send(url, { headers: { host } })).status).toBe(200);
  });

  it('from a page of another origin', async () => {
    const url = await listen();
    for (const origin of ['http://evil.test', 'null', 'https://localhost'])
      expect((await send(url, { headers: { origin } })).status).toBe(403);
    expect((await send(url, { headers: { origin: url.origin } })).status).toBe(200);
  });

  it('without the token, or with another one', async () => {
    const url = await listen(token);
    expect((await send(url)).status).toBe(401);
    for (const authorization of [`Bearer ${'b'.repeat(32)}`, token, `Bearer ${token}x`, `Basic ${token}`])
      expect((await send(url, { headers: { authorization } })).status).toBe(401);
    expect((await send(url, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it('at another path, with another method, and with a body that is too large or none', async () => {
    const url = await listen();
    expect((await send(url, { path: '/' })).status).toBe(404);
    for (const method of ['GET', 'DELETE', 'PUT']) expect((await send(url, { method })).status).toBe(405);
    expect((await send(url, { body: ' '.repeat(1_048_577) })).status).toBe(413);
    expect((await send(url, { body: '{' })).status).toBe(400);
  });
});

it('ends while a client holds a connection', async () => {
  const url = await listen();
  const socket = connect(Number(url.port), url.hostname);
  await once(socket, 'connect');
  await server?.close();
  server = undefined;
  await once(socket, 'close');
});

it.each([
  ['build.test', undefined, 'your access token'],
  ['0.0.0.0', token, 'every address'],
  ['[::]', token, 'every address'],
  ['127.0.0.1', 'short', 'at least 32'],
  ['203.0.113.1', token, 'cannot be listened on'],
])('does not listen at %s with the token %s', async (host, secret, why) => {
  await expect(serveHttp(testSource(), { host, port: 0 }, secret)).rejects.toThrow(why);
});
