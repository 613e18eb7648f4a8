import { createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { afterEach, expect, it, vi } from 'vitest';
import { testCertificate } from './testing/certificate.ts';
import { address, echo, endOf, serveGuest, type ServedGuest } from './testing/served-guest.ts';

// The network of these tests is loopback, which no operator can open.
vi.mock('./addresses.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  isOpenable: () => true,
}));

let target: Server;
let guest: ServedGuest;
afterEach(() => guest.close());

async function serve(policy: string, server: Server): Promise<void> {
  target = server;
  guest = await serveGuest(policy, server);
}

it('a guest reaches a host by its name, each half of a connection ends by itself, and the receipt has the bytes', async () => {
  await serve('allow:mirror.test', echo());
  expect((await guest.lookUp('mirror.test')).answers).toMatchObject([{ data: address }]);
  const socket = guest.connect();
  socket.end('hello');
  expect(await endOf(socket)).toBe('hello');
  await expect.poll(() => guest.receipts).toHaveLength(2);
  expect(guest.receipts).toMatchObject([
    { kind: 'lookup', name: 'mirror.test', verdict: 'allowed', rule: 'allow mirror.test' },
    {
      kind: 'connection',
      name: 'mirror.test',
      address,
      port: guest.port,
      sentBytes: 5,
      receivedBytes: 5,
      verdict: 'allowed',
    },
  ]);
});

it('an address that was not asked for by an allowed name is refused with a reset, and a name that is not allowed does not exist', async () => {
  await serve('allow:mirror.test', echo());
  expect(await endOf(guest.connect())).toBe('ECONNRESET');
  expect(await guest.lookUp('other.test')).toMatchObject({ rcode: 'NXDOMAIN' });
  expect(guest.receipts.map(({ verdict }) => verdict)).toEqual(['refused', 'refused']);
});

it('a reset of the server is one for the guest, and a server that is gone is a failure', async () => {
  await serve(
    'public',
    createServer((socket) => void socket.once('data', () => socket.resetAndDestroy())),
  );
  await guest.lookUp('mirror.test');
  const socket = guest.connect();
  socket.write('x');
  expect(await endOf(socket)).toBe('ECONNRESET');
  target.close();
  expect(await endOf(guest.connect())).toBe('ECONNRESET');
  await expect
    .poll(() => guest.receipts.map(({ verdict }) => verdict))
    .toEqual(['allowed', 'allowed', 'failed']);
});

it('what a guest or a server writes is passed on at once, and does not wait for the other side to confirm what came before', async () => {
  // Both answer to two writes, so a side that holds the second one back waits for a delayed confirmation: 40 ms.
  const answerTwo = (socket: Socket, answer: () => void) => {
    let bytes = 0;
    return socket.setNoDelay(true).on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes % 2 === 0) answer();
    });
  };
  const writeTwice = (socket: Socket) => {
    socket.write('a');
    setTimeout(() => socket.write('b'), 1);
  };
  await serve(
    'public',
    createServer((socket) => answerTwo(socket, () => writeTwice(socket)).on('error', () => {})),
  );
  await guest.lookUp('mirror.test');
  const socket = guest.connect();
  const times: number[] = [];
  await new Promise<void>((resolve) => {
    let start = performance.now();
    answerTwo(socket, () => {
      times.push(performance.now() - start);
      start = performance.now();
      if (times.length === 20) resolve();
      else writeTwice(socket);
    });
    writeTwice(socket);
  });
  socket.destroy();
  expect(times.sort((a, b) => a - b)[10]).toBeLessThan(30);
});

/** Returns a server of TLS that says `secret` to everyone. */
const secretServer = (): Server =>
  createTlsServer(testCertificate(['mirror.test']), (socket) => socket.end('secret'));

const secure = (servername: string) =>
  connectTls({ host: address, port: guest.port, servername, rejectUnauthorized: false }) as unknown as Socket;
const brokenHello = Buffer.from([22, 3, 1, 0, 0]);

it('TLS has to be for the name by which the address was found', async () => {
  await serve('allow:mirror.test', secretServer());
  await guest.lookUp('mirror.test');
  expect(await endOf(secure('mirror.test'))).toBe('secret');
  expect(await endOf(secure('evil.test'))).toBe('ECONNRESET');
  const half = guest.connect();
  half.write(brokenHello);
  expect(await endOf(half)).toBe('ECONNRESET');
  await expect.poll(() => guest.receipts).toHaveLength(4);
  expect(guest.receipts.slice(1)).toMatchObject([
    { serverName: 'mirror.test', verdict: 'allowed', reason: null },
    {
      ...{ serverName: 'evil.test', verdict: 'refused', reason: 'server_name' },
      rule: 'TLS for evil.test, which is none of the address',
    },
    { verdict: 'refused', rule: expect.stringContaining('TLS: '), reason: 'hello' },
  ]);
});

it('who learns refuses no TLS, and the receipt has why a policy would', async () => {
  await serve('learn', secretServer());
  await guest.lookUp('mirror.test');
  expect(await endOf(secure('mirror.test'))).toBe('secret');
  expect(await endOf(secure('evil.test'))).toBe('secret');
  const half = guest.connect();
  half.end(brokenHello);
  await endOf(half);
  await expect.poll(() => guest.receipts).toHaveLength(4);
  expect(guest.receipts.slice(1)).toMatchObject([
    { name: 'mirror.test', serverName: 'mirror.test', verdict: 'allowed', reason: null },
    { name: 'mirror.test', serverName: 'evil.test', verdict: 'allowed', reason: 'server_name' },
    { name: 'mirror.test', serverName: null, verdict: 'allowed', reason: 'hello' },
  ]);
});

it.each(['allow:mirror.test', 'learn'])(
  'under %s, the end of a guest that sends nothing reaches the server, and half a hello is no more than that',
  async (policy) => {
    await serve(
      policy,
      createServer({ allowHalfOpen: true }, (socket) => {
        let bytes = 0;
        socket.on('data', (chunk) => (bytes += chunk.length)).on('error', () => {});
        socket.once('end', () => socket.end(`${bytes} bytes came`));
      }),
    );
    await guest.lookUp('mirror.test');
    expect(await endOf(guest.connect().end())).toBe('0 bytes came');
    const half = await endOf(guest.connect().end(brokenHello.subarray(0, 1)));
    expect(half).toBe(policy === 'learn' ? '1 bytes came' : 'ECONNRESET');
    await expect.poll(() => guest.receipts).toHaveLength(3);
    expect(guest.receipts.slice(1)).toMatchObject([
      { verdict: 'allowed', reason: null },
      { reason: 'hello' },
    ]);
  },
);
