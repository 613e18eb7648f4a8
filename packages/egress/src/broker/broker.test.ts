import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server as NetServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { systemClock } from '@fumehood/base';
import { type BrokerGrant, brokerGrantSchema, parseEgressPolicy, type Receipt } from '@fumehood/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { openDialer } from '../dialer.ts';
import { guestLimits } from '../limits.ts';
import { Meter } from '../meter.ts';
import { testCertificate } from '../testing/certificate.ts';
import { type Broker, openBroker } from './broker.ts';

/** The address that the servers of the tests pretend to have. */
const address = '93.184.216.34';
const secret = 'correct-horse-battery';
const basic = `Basic ${Buffer.from(`worker:${secret}`).toString('base64')}`;
const credential = { header: 'authorization', value: basic };
const authorities = getCACertificates('default');

const tls = testCertificate(['server.test', 'files.test']);
let seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
let answer: RequestListener;
let upstream: Server;
let guestSide: NetServer;
let broker: Broker;
let receipts: Receipt[];
let addresses: Record<string, string[]>;
/** Names that were resolved. */
let resolved: string[];

beforeAll(async () => {
  upstream = createSecureServer(tls, (request, response) => {
    const { method = '', url = '', headers } = request;
    const whole = text(request).then((body) => {
      seen.push({ method, url, headers, body });
      answer(request, response);
    });
    whole.catch(() => {}); // it was broken off
  }).listen(0, '127.0.0.1');
  guestSide = createServer(
    { allowHalfOpen: true, pauseOnConnect: true },
    (socket) => void broker.serve(socket),
  );
  guestSide.listen(0, '127.0.0.1');
  await Promise.all([once(upstream, 'listening'), once(guestSide, 'listening')]);
});
afterAll(() => {
  upstream.closeAllConnections();
  upstream.close();
  guestSide.close();
});
beforeEach(() => {
  seen = [];
  receipts = [];
  resolved = [];
  addresses = { 'server.test': [address], 'files.test': [address], 'other.test': [address] };
  answer = (_request, response) => void response.end('content');
  setDefaultCACertificates([...authorities, tls.cert]);
});
afterEach(async () => {
  await broker.close();
  setDefaultCACertificates(authorities);
});

/** Serves entries to the guest. The servers of all names are the one of the test. */
function serve(
  entries: object[],
  { ceiling = 'public', limits = {}, privateHosts = [] as { name: string; port: number }[] } = {},
): void {
  const { port } = upstream.address() as AddressInfo;
  const grants: BrokerGrant[] = entries.map((entry) =>
    brokerGrantSchema.parse({ name: 'one', kind: 'http', url: 'https://server.test/', credential, ...entry }),
  );
  broker = openBroker(grants, {
    clock: systemClock,
    meter: new Meter({ ...guestLimits, ...limits }),
    rules: { policy: parseEgressPolicy(ceiling), privateHosts, own: new Set() },
    resolve: async (name) => {
      resolved.push(name);
      const found = addresses[name];
      return found ? { code: 'ok', addresses: found, ttlSeconds: 60 } : { code: 'no_such_name' };
    },
    dial: () => openDialer(null)({ name: null, addresses: ['127.0.0.1'], port }),
    hasProxy: () => false,
    onReceipt: (receipt) => receipts.push(receipt),
  });
}

/** Sends bytes as a guest, and resolves with all that comes back. */
async function send(bytes: string): Promise<string> {
  const socket = connect({ port: (guestSide.address() as AddressInfo).port, host: '127.0.0.1' });
  socket.write(bytes);
  return await text(socket).catch((error: NodeJS.ErrnoException) => `${error.code}`);
}

/** Sends one request to an entry. */
async function ask(
  path: string,
  { method = 'GET', host = 'one.broker.internal', more = '', body = '' } = {},
) {
  const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`;
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${length}${more}\r\n`;
  const answered = await send(head + body);
  return { text: answered, status: Number(answered.split(' ')[1]) };
}

it('a request gets the credential of its entry, and what is fetched, and a receipt, and no credential goes to the guest', async () => {
  serve([{}]);
  const got = await ask('/a/b?c=d', { more: 'Authorization: Bearer of-the-guest\r\nCookie: a=b\r\n' });
  expect(got.status).toBe(200);
  expect(got.text).toContain('content');
  expect(seen).toMatchObject([
    { method: 'GET', url: '/a/b?c=d', headers: { authorization: basic, host: 'server.test' } },
  ]);
  expect(seen[0]?.headers.cookie).toBeUndefined();
  expect(receipts).toMatchObject([
    {
      kind: 'broker',
      name: 'server.test',
      port: 443,
      verdict: 'allowed',
      receivedBytes: 7,
      rule: 'broker one: GET /a/b: 200',
    },
  ]);
});

it('several requests go over one connection, one after the other, also to the server', async () => {
  serve([{}]);
  const connected = vi.fn();
  upstream.on('secureConnection', connected);
  const one = 'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\n\r\n';
  const socket = connect({ port: (guestSide.address() as AddressInfo).port, host: '127.0.0.1' });
  for (const _ of [1, 2]) {
    socket.write(one);
    expect(String((await once(socket, 'data'))[0])).toContain('200 OK');
  }
  socket.destroy();
  expect(seen).toHaveLength(2);
  expect(connected).toHaveBeenCalledOnce();
});

it('a request that comes before the answer to the one before it is refused', async () => {
  serve([{}]);
  const one = 'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\n\r\n';
  expect(await send(one + one)).toContain('400');
  expect(receipts.map(({ rule }) => rule)).toContain(
    'broker one: it came before the answer to the one before it',
  );
});

it('a path below the prefix is taken as it is, and no other one', async () => {
  serve([{ url: 'https://server.test/base' }]);
  for (const path of ['/other', '/base/../other', '/base/%2e%2e/other', '/base//other'])
    expect((await ask(path)).status).toBe(403);
  expect(seen).toEqual([]);
  for (const path of ['/base/', '/base/a/', '/base/@a+b/c%20d;e?f=/../g'])
    expect((await ask(path)).status).toBe(200);
  expect(seen.map(({ url }) => url)).toEqual(['/base/', '/base/a/', '/base/@a+b/c%20d;e?f=/../g']);
});

it.each([
  [
    'the whole address of the server',
    'GET https://server.test/a HTTP/1.1\r\nHost: one.broker.internal\r\n\r\n',
  ],
  [
    'the whole address of another server',
    'GET http://other.test/a HTTP/1.1\r\nHost: one.broker.internal\r\n\r\n',
  ],
  ['a connection', 'CONNECT server.test:443 HTTP/1.1\r\nHost: one.broker.internal\r\n\r\n'],
  [
    'another protocol',
    'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  ['an asterisk', 'OPTIONS * HTTP/1.1\r\nHost: one.broker.internal\r\n\r\n'],
  ['a name that no entry has', 'GET /a HTTP/1.1\r\nHost: server.test\r\n\r\n'],
  ['two names', 'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\nHost: one.broker.internal\r\n\r\n'],
  [
    'two lengths',
    'POST /a HTTP/1.1\r\nHost: one.broker.internal\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  ],
  [
    'a length and chunks',
    'POST /a HTTP/1.1\r\nHost: one.broker.internal\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'a body where none belongs',
    'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\nContent-Length: 4\r\n\r\nGET ',
  ],
  ['a line break in a field', 'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\nAccept: a\rb: c\r\n\r\n'],
  [
    'fields without an end',
    `GET /a HTTP/1.1\r\nHost: one.broker.internal\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`,
  ],
  ['no HTTP', 'hello\r\n\r\n'],
])('a request for %s is refused, and reaches no server', async (_what, bytes) => {
  serve([{ methods: ['GET', 'POST'] }]);
  expect(await send(bytes)).toMatch(/^HTTP\/1.1 4\d\d /);
  expect(seen).toEqual([]);
  expect(receipts).toMatchObject([{ verdict: 'refused' }]);
});

it('a method, and fields that change the method, the path or the host of a request, are not sent on', async () => {
  serve([{}]);
  expect((await ask('/a', { method: 'DELETE' })).status).toBe(403);
  const sly = [
    'X-HTTP-Method-Override: DELETE',
    'X-Original-URL: /b',
    'X-Forwarded-Host: other.test',
    'Forwarded: host=x',
  ];
  expect((await ask('/a', { more: `${sly.join('\r\n')}\r\n` })).status).toBe(200);
  expect(Object.keys(seen[0]?.headers ?? {}).sort()).toEqual([
    'accept-encoding',
    'authorization',
    'connection',
    'host',
  ]);
  serve([{ methods: ['POST'] }]);
  expect((await ask('/a', { method: 'POST', body: 'the body' })).status).toBe(200);
  expect(seen[1]).toMatchObject({ method: 'POST', body: 'the body' });
});

it('a redirect inside of the entry leads the guest to the broker, and elsewhere it is refused', async () => {
  serve([{ url: 'https://server.test/base/', hosts: ['https://files.test'] }]);
  let location = '';
  answer = (_request, response) => void response.writeHead(302, { location }).end();
  const led = async (to: string) => {
    location = to;
    return (await ask('/base/a')).text;
  };
  expect(await led('/base/b?c')).toContain('location: http://one.broker.internal/base/b?c');
  expect(await led('https://files.test/c')).toContain('location: http://files.test.one.broker.internal/c');
  for (const elsewhere of [
    ...[
      '/other',
      '../other',
      'https://other.test/',
      'http://server.test/base/',
      'https://server.test:8443/base/',
    ],
    ...[
      '//other.test/',
      'https://files.test.evil.test/',
      'https://worker@other.test/base/',
      'file:///etc/passwd',
    ],
  ])
    expect(await led(elsewhere)).toMatch(/^HTTP\/1.1 403 [^]*outside of what the entry has/);
});

it('a host beside that of the entry gets no credential, and only reads', async () => {
  serve([{ hosts: ['https://files.test'], methods: ['GET', 'POST'] }]);
  const host = 'files.test.one.broker.internal';
  expect((await ask('/a', { host })).status).toBe(200);
  expect(seen).toMatchObject([{ headers: { host: 'files.test' } }]);
  expect(JSON.stringify(seen)).not.toContain(basic);
  expect((await ask('/a', { host, method: 'POST', body: 'a' })).status).toBe(403);
});

it('a server that repeats the credential does not tell it to the guest', async () => {
  serve([{}]);
  answer = ({ headers }, response) => {
    response.writeHead(200, {
      etag: `"${headers.authorization}"`,
      'set-cookie': secret,
      'www-authenticate': 'Basic',
    });
    response.write(JSON.stringify(headers).slice(0, 40));
    setImmediate(() => response.end(`${JSON.stringify(headers).slice(40)} ${secret}`));
  };
  const got = (await ask('/echo')).text;
  expect(got).toContain('"authorization":"Basic ****');
  expect(got).toMatch(/\*{21}/);
  for (const text of [secret, basic, basic.slice(6), 'cookie', 'www-authenticate'])
    expect(got).not.toContain(text);
});

it('an answer has no more bytes than the entry lets it have', async () => {
  serve([{ responseMaxMiB: 1 }]);
  const large = Buffer.alloc(2 ** 20 + 1);
  answer = (_request, response) => void response.end(large);
  expect((await ask('/a')).status).toBe(403);
  answer = (_request, response) => {
    response.write(large.subarray(0, 1000));
    setImmediate(() => response.end(large));
  };
  expect((await ask('/a')).text.length).toBeLessThan(2 ** 20);
  expect(receipts).toMatchObject([{ verdict: 'refused' }, { verdict: 'refused' }]);
});

it('the bytes of a guest count here as on its other connections', async () => {
  serve([{}], { limits: { bytes: 10 } });
  expect((await ask('/a')).status).toBe(200);
  await ask('/a');
  expect(receipts[1]).toMatchObject({
    verdict: 'refused',
    reason: 'bytes',
    rule: expect.stringContaining('at most 10 bytes'),
  });
});

it('a request has no more bytes than the broker takes', async () => {
  serve([{ methods: ['POST'] }]);
  expect((await ask('/a', { method: 'POST', body: 'a'.repeat(8 * 2 ** 20 + 1) })).status).not.toBe(200);
  const chunk = `100000\r\n${'a'.repeat(2 ** 20)}\r\n`;
  await send(
    `POST /a HTTP/1.1\r\nHost: one.broker.internal\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(9)}0\r\n\r\n`,
  );
  expect(seen).toEqual([]);
  await expect.poll(() => receipts).toMatchObject([{ verdict: 'refused' }, { verdict: 'refused' }]);
});

it('the server is reached only where any guest of this executor may go, whatever its name resolves to', async () => {
  for (const bad of [['10.0.0.1'], ['127.0.0.1'], ['169.254.169.254'], [address, '10.0.0.1']]) {
    addresses['server.test'] = bad;
    serve([{}]);
    expect((await ask('/a')).text).toContain('is not on the public internet');
  }
  addresses['server.test'] = ['10.0.0.1'];
  serve([{}], { privateHosts: [{ name: 'server.test', port: 8443 }] });
  expect((await ask('/a')).status).toBe(403);
  serve([{}], { privateHosts: [{ name: 'server.test', port: 443 }] });
  expect((await ask('/a')).status).toBe(200);
  addresses['server.test'] = [address];
  resolved = [];
  for (const ceiling of ['none', 'allow:other.test', 'allow:server.test:8443']) {
    serve([{}], { ceiling });
    expect((await ask('/a')).status).toBe(403);
  }
  expect(resolved).toEqual(['server.test']); // by the third one, whose rule has the name
  serve([{}], { ceiling: 'allow:server.test:443' });
  expect((await ask('/a')).status).toBe(200);
  expect(seen).toHaveLength(2);
});

it('the server of an entry has to prove its name by TLS', async () => {
  serve([{ url: 'https://other.test/' }]);
  expect((await ask('/a')).text).toMatch(/^HTTP\/1.1 502 [^]*does not match certificate/);
  setDefaultCACertificates(authorities);
  serve([{}]);
  expect((await ask('/a')).text).toMatch(/^HTTP\/1.1 502 [^]*self-signed/);
  expect(seen).toEqual([]);
  expect(receipts).toMatchObject([{ verdict: 'failed' }, { verdict: 'failed' }]);
});

it('an index of PyPI lists its files at the broker, beside the index and on the hosts that the entry names', async () => {
  serve([
    { name: 'pypi', kind: 'pypi', url: 'https://server.test/root/simple/', hosts: ['https://files.test'] },
  ]);
  const host = 'pypi.broker.internal';
  const links = 'https://files.test/a.whl https://server.test/root/b.whl https://other.test/c.whl';
  answer = (_request, response) => {
    response.writeHead(200, {
      'content-type': 'application/vnd.pypi.simple.v1+json',
      'content-length': links.length,
    });
    response.write(links.slice(0, 12));
    setImmediate(() => response.end(links.slice(12)));
  };
  const got = (await ask('/root/simple/a/', { host })).text.replaceAll(/\r\n[0-9a-f]+\r\n/g, '');
  expect(got).toContain(
    'http://files.test.pypi.broker.internal/a.whl http://pypi.broker.internal/root/b.whl https://other.test/c.whl',
  );
  expect((await ask('/root/b.whl', { host })).status).toBe(200);
  expect((await ask('/other', { host })).status).toBe(403);
});

it('a request that does not come to an end, and a connection without one, are ended', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  serve([{}]);
  const { port } = guestSide.address() as AddressInfo;
  const sockets = ['', 'GET /a HTTP/1.1\r\nHost: one.broker.internal\r\nAccept: '].map((bytes) => {
    const socket = connect(port, '127.0.0.1');
    socket.write(bytes);
    return socket;
  });
  try {
    await vi.waitUntil(() => vi.getTimerCount() >= sockets.length);
    const ends = sockets.map((socket) => text(socket).catch(() => '')); // a reset is an end, too
    vi.advanceTimersByTime(29_000);
    sockets[1]?.write('a');
    vi.advanceTimersByTime(1_000);
    await Promise.all(ends);
  } finally {
    vi.useRealTimers();
  }
  expect(seen).toEqual([]);
});

it('a server that is gone is a failure, which the guest is told', async () => {
  addresses = {};
  serve([{}]);
  expect((await ask('/a')).text).toMatch(/^HTTP\/1.1 502 [^]*there is no address of server.test/);
  expect(receipts).toMatchObject([{ verdict: 'failed' }]);
});
