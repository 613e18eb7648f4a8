import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { type AddressInfo, connect, type NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openUploadProxy, type UploadProxy } from './upload-proxy.ts';

/**
 * A client that was taken over writes what it likes to the proxy's socket, its only way out. Each attack runs again on a connection
 * to the instance itself, where it arrives.
 */
interface Recorded {
  readonly server: Server;
  readonly requests: {
    readonly line: string;
    readonly headers: IncomingHttpHeaders;
    readonly body: string;
  }[];
}

let directory: string;
let instance: Recorded;
/** Another server that this machine reaches. */
let other: Recorded;
let proxy: UploadProxy;
/** The location to which the instance redirects; null: it answers with 202. */
let redirect: string | null;

const portOf = ({ server }: Recorded) => (server.address() as AddressInfo).port;
const socketPath = () => join(directory, 'instance.sock');

async function record(): Promise<Recorded> {
  const requests: Recorded['requests'] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      requests.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
      if (redirect === null) response.writeHead(202).end('{"id":"1"}');
      else response.writeHead(307, { location: redirect }).end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, requests };
}

beforeEach(async () => {
  redirect = null;
  directory = await mkdtemp(join(tmpdir(), 'fumehood-proxy-'));
  [instance, other] = [await record(), await record()];
  const headers = { 'x-sourcegraph-job-id': '42', 'x-sourcegraph-executor-name': 'e1' };
  proxy = await openUploadProxy(socketPath(), `http://127.0.0.1:${portOf(instance)}`, headers, () => {});
});
afterEach(async () => {
  await proxy.close();
  for (const { server } of [instance, other]) server.close().closeAllConnections();
  await rm(directory, { recursive: true });
});

/** Sends these bytes and returns the status lines of the answers, when the other side has closed the connection. */
async function send(where: NetConnectOpts, bytes: string): Promise<string[]> {
  const socket = connect(where);
  socket.on('error', () => {});
  socket.write(bytes);
  const answer = await text(socket).catch(() => '');
  return answer.match(/^HTTP\/1\.1 \d+/gm)?.map((line) => line.slice(9)) ?? [];
}
const toProxy = (bytes: string) => send({ path: socketPath() }, bytes);
const toInstance = (bytes: string) => send({ host: '127.0.0.1', port: portOf(instance) }, bytes);

const request = (line: string, more = '', body = '') =>
  `${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${body.length}\r\n${more}\r\n${body}`;

describe('a client that was taken over', () => {
  test.each([
    ['another route of executors', 'POST /.executors/queue/dequeue'],
    ['a route of people', 'GET /api/jobs'],
    ['a longer path', 'POST /.executors/scip/upload/x'],
    ['a path that goes up', 'POST /.executors/scip/upload/../../../api/jobs'],
    ['a path that goes up, encoded', 'POST /.executors/scip/upload%2f..%2f..%2f..%2fapi%2fjobs'],
    ['a path that goes up after its query', 'POST /api/jobs?/.executors/scip/upload'],
    ['a path with two slashes', 'POST //.executors/scip/upload'],
    ['a fragment', 'POST /.executors/scip/upload#/../../api/jobs'],
  ])('does not reach %s', async (_, line) => {
    expect(await toProxy(request(line))).toEqual(['403']);
    expect(instance.requests).toEqual([]);
    await toInstance(request(line));
    expect(instance.requests.map((one) => one.line)).toEqual([line]);
  });

  test('does not reach another server, whatever form its request has', async () => {
    const authority = `127.0.0.1:${portOf(other)}`;
    const forms = [
      request(`POST http://${authority}/.executors/scip/upload`),
      `CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n${request('POST /.executors/scip/upload')}`,
      `POST /.executors/scip/upload HTTP/1.1\r\nhost: ${authority}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
      request(`POST /.executors/scip/upload?@${authority}/`),
    ];
    for (const form of forms) await toProxy(form);
    expect(other.requests).toEqual([]);
    await send({ host: '127.0.0.1', port: portOf(other) }, forms[2] as string);
    expect(other.requests).toHaveLength(1);
  });

  test('does not reach another server by a redirect of the instance', async () => {
    redirect = `http://127.0.0.1:${portOf(other)}/.executors/scip/upload`;
    expect(await toProxy(request('POST /.executors/scip/upload'))).toEqual(['307']);
    expect(other.requests).toEqual([]);
  });

  test('cannot hide a second request in its first one', async () => {
    const hidden = request('POST /api/jobs');
    const upload = 'POST /.executors/scip/upload HTTP/1.1\r\nhost: x\r\n';
    const attacks = [
      `${upload}content-length: 0\r\n\r\n${hidden}`,
      `${upload}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      `${upload}transfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      `${upload}x: y\r\n\tcontent-length: 0\r\ncontent-length: 0\r\n\r\n${hidden}`,
    ];
    for (const attack of attacks) await toProxy(attack);
    const reached = instance.requests.filter(({ line }) => !line.startsWith('POST /.executors/scip/upload'));
    expect(reached).toEqual([]);
    await toInstance(attacks[0] as string);
    expect(instance.requests.at(-1)?.line).toBe('POST /api/jobs');
  });

  test('cannot name another job or executor', async () => {
    const names = 'X-Sourcegraph-Job-ID: 7\r\nx-sourcegraph-job-id: 8\r\nX-SOURCEGRAPH-EXECUTOR-NAME: e9\r\n';
    expect(await toProxy(request('POST /.executors/scip/upload', names))).toEqual(['202']);
    expect(instance.requests[0]?.headers).toMatchObject({
      'x-sourcegraph-job-id': '42',
      'x-sourcegraph-executor-name': 'e1',
    });
    await toInstance(request('POST /.executors/scip/upload', names));
    expect(instance.requests[1]?.headers['x-sourcegraph-executor-name']).toBe('e9');
  });
});

test('an upload arrives with its query, its credential and its bytes', async () => {
  const line = 'POST /.executors/lsif/upload?repository=a%2Fb&commit=c';
  const answer = await toProxy(request(line, 'authorization: token-executor secret\r\n', 'the index'));
  expect(answer).toEqual(['202']);
  expect(instance.requests).toMatchObject([
    { line, body: 'the index', headers: { authorization: 'token-executor secret' } },
  ]);
});
