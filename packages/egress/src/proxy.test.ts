import { once } from 'node:events';
import { createServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDialer } from './dialer.ts';
import type { Resolution } from './dns.ts';
import { echo, endOf, serveGuest, type ServedGuest } from './testing/served-guest.ts';

/** The first address that stands for a name in these tests. */
const alias = '127.18.0.1';
let proxy: HttpServer;
/** What the proxy was asked for. It knows `refused.org`, which it refuses, and takes everybody else to the guest's server. */
let asked: string[];
let serverPort: number;
let guest: ServedGuest;

beforeEach(async () => {
  asked = [];
  proxy = createServer().on('connect', (request, socket: Socket) => {
    asked.push(request.url ?? '');
    socket.on('error', () => {});
    if (request.url?.startsWith('refused.org')) {
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    const server = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true }, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(server).pipe(socket);
    });
    server.on('error', () => socket.destroy());
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
});
afterEach(async () => {
  await guest.close();
  proxy.close();
  proxy.closeAllConnections();
});

/** Serves a guest behind the proxy. `found`: what the name servers say; null: there are none. */
async function serveBehindProxy(policy: string, found: Resolution | null): Promise<void> {
  const server = echo();
  server.once('listening', () => {
    serverPort = (server.address() as AddressInfo).port;
  });
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  guest = await serveGuest(policy, server, {
    dial: openDialer({ url, except: [] }),
    hasProxy: () => true,
    resolve: async () => found ?? { code: 'failed' },
  });
}

const answersOf = async (name: string) => {
  const { rcode, answers } = (await guest.lookUp(name)) as Awaited<ReturnType<ServedGuest['lookUp']>> & {
    rcode: string;
  };
  return rcode === 'NOERROR' ? answers?.map((answer) => (answer as { data?: unknown }).data) : rcode;
};

describe('behind an HTTP proxy', () => {
  it('a guest reaches a name that nobody here resolves, by the name, and the receipt has the bytes of the guest alone', async () => {
    await serveBehindProxy('allow:mirror.org', null);
    expect(await answersOf('mirror.org')).toEqual([alias]);
    const socket = guest.connect(alias);
    socket.end('hello');
    expect(await endOf(socket)).toBe('hello');
    expect(asked).toEqual([`mirror.org:${guest.port}`]);
    await expect.poll(() => guest.receipts).toHaveLength(2);
    expect(guest.receipts[1]).toMatchObject({
      ...{ name: 'mirror.org', address: alias, port: guest.port, verdict: 'allowed' },
      ...{ sentBytes: 5, receivedBytes: 5 },
    });
  });

  it('a name with an address that is not public does not exist, and neither does one that is none of the internet', async () => {
    await serveBehindProxy('public', { code: 'ok', addresses: ['1.1.1.1', '10.0.0.1'], ttlSeconds: 60 });
    expect(await answersOf('inside.org')).toBe('NXDOMAIN');
    await guest.close();
    await serveBehindProxy('public', null);
    expect(await answersOf('metadata.google.internal')).toBe('NXDOMAIN');
    expect(guest.receipts).toMatchObject([{ verdict: 'refused', reason: 'not_public' }]);
    expect(asked).toEqual([]);
  });

  it('an address that stands for no name yet is refused, and what the proxy refuses is a failure', async () => {
    await serveBehindProxy('public', null);
    expect(await endOf(guest.connect(alias))).toBe('ECONNRESET');
    expect(await answersOf('refused.org')).toEqual([alias]);
    expect(await endOf(guest.connect(alias))).toBe('ECONNRESET');
    await expect.poll(() => guest.receipts).toHaveLength(3);
    expect(guest.receipts).toMatchObject([
      { verdict: 'refused', reason: 'not_public' },
      { verdict: 'allowed' },
      {
        verdict: 'failed',
        rule: expect.stringContaining('the proxy refuses the connection with status 403'),
      },
    ]);
  });
});

it('a guest reaches a name that has addresses of IPv6 alone, by one of IPv4 that stands for it', async () => {
  const server = createTcpServer((socket) => void socket.on('error', () => {}).end('over IPv6'));
  await once(server.listen(0, '::1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const dial = openDialer(null);
  guest = await serveGuest('allow:six.org', echo(), {
    resolve: async () => ({ code: 'ok', addresses: ['2606:4700:4700::1111'], ttlSeconds: 60 }),
    dial: (target) => {
      expect(target.addresses).toEqual(['2606:4700:4700::1111']);
      return dial({ ...target, addresses: ['::1'], port });
    },
  });
  expect(await answersOf('six.org')).toEqual([alias]);
  expect(await endOf(guest.connect(alias))).toBe('over IPv6');
  await guest.close();
  // An address of IPv6 is checked as any other.
  guest = await serveGuest('allow:six.org', echo(), {
    resolve: async () => ({ code: 'ok', addresses: ['fd00::1'], ttlSeconds: 60 }),
  });
  expect(await answersOf('six.org')).toBe('NXDOMAIN');
  server.close();
});
