import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { systemClock } from '@fumehood/base';
import { parseEgressPolicy, type Receipt } from '@fumehood/protocol';
import packet from 'dns-packet';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Gateway, openGateway } from './gateway.ts';

/** The address at which the test's guest reaches the gateway: all of 127.0.0.0/8 is local, as all of the world is to a guest. */
const address = '127.9.9.9';
let guestSide: Server;
let questions: ReturnType<typeof createSocket>;
let questionPort: number;
let port: number;
let target: Server;
let receipts: Receipt[];
let gateway: Gateway | null;

beforeEach(async () => {
  receipts = [];
  gateway = null;
  guestSide = createServer().listen(0, '0.0.0.0');
  questions = createSocket('udp4').bind(0, '127.0.0.1');
  await Promise.all([once(guestSide, 'listening'), once(questions, 'listening')]);
  ({ port } = guestSide.address() as AddressInfo);
  questionPort = questions.address().port;
});
afterEach(async () => {
  await gateway?.close();
  guestSide.close();
  target?.close();
});

/** Serves a guest under a policy. The name `mirror.test` is at this address, and what is dialled goes to `server`. */
async function serve(policy: string, server: Server): Promise<void> {
  target = server;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: dialled } = server.address() as AddressInfo;
  // Both take over the socket, as they do that of another process.
  const handleOf = (socket: object) => (socket as { _handle: object })._handle;
  const udp = (questions as unknown as Record<symbol, { handle: object }>)[
    Object.getOwnPropertySymbols(questions).find(
      ({ description }) => description === 'state symbol',
    ) as symbol
  ] as { handle: object };
  gateway = await openGateway(
    { connections: handleOf(guestSide), questions: udp.handle },
    { policy: parseEgressPolicy(policy), privateHosts: [{ name: 'mirror.test', port }] },
    {
      clock: systemClock,
      resolve: async (name) =>
        name === 'mirror.test'
          ? { code: 'ok', addresses: [address], ttlSeconds: 60 }
          : { code: 'no_such_name' },
      dial: () => connect({ port: dialled, host: '127.0.0.1', allowHalfOpen: true }),
      onReceipt: (receipt) => receipts.push(receipt),
    },
  );
}

async function lookUp(name: string): Promise<packet.Packet> {
  const socket = createSocket('udp4');
  socket.send(
    packet.encode({ type: 'query', id: 1, questions: [{ type: 'A', name }] }),
    questionPort,
    '127.0.0.1',
  );
  const [answer] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return packet.decode(answer);
}

const echo = () =>
  createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket).on('error', () => {}));
const guest = () => connect({ host: address, port, allowHalfOpen: true });
/** Resolves with what a socket's end was: its text, or the code of its error. */
const endOf = (socket: Socket) => text(socket).catch((error: NodeJS.ErrnoException) => error.code);

it('a guest reaches a host by its name, each half of a connection ends by itself, and the receipt has the bytes', async () => {
  await serve('allow:mirror.test', echo());
  expect((await lookUp('mirror.test')).answers).toMatchObject([{ data: address }]);
  const socket = guest();
  socket.end('hello');
  expect(await endOf(socket)).toBe('hello');
  await expect.poll(() => receipts).toHaveLength(2);
  expect(receipts).toMatchObject([
    { kind: 'lookup', name: 'mirror.test', verdict: 'allowed', rule: 'allow mirror.test' },
    {
      kind: 'connection',
      name: 'mirror.test',
      address,
      port,
      sentBytes: 5,
      receivedBytes: 5,
      verdict: 'allowed',
    },
  ]);
});

it('an address that was not asked for by an allowed name is refused with a reset, and a name that is not allowed does not exist', async () => {
  await serve('allow:mirror.test', echo());
  expect(await endOf(guest())).toBe('ECONNRESET');
  expect(await lookUp('other.test')).toMatchObject({ rcode: 'NXDOMAIN' });
  expect(receipts.map(({ verdict }) => verdict)).toEqual(['refused', 'refused']);
});

it('a reset of the server is one for the guest, and a server that is gone is a failure', async () => {
  await serve(
    'public',
    createServer((socket) => void socket.once('data', () => socket.resetAndDestroy())),
  );
  await lookUp('mirror.test');
  const socket = guest();
  socket.write('x');
  expect(await endOf(socket)).toBe('ECONNRESET');
  target.close();
  expect(await endOf(guest())).toBe('ECONNRESET');
  await expect.poll(() => receipts.map(({ verdict }) => verdict)).toEqual(['allowed', 'allowed', 'failed']);
});

/** Returns a server of TLS that says `secret` to everyone. */
function secretServer(): Server {
  const directory = mkdtempSync(join(tmpdir(), 'fumehood-tls-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(directory, name)) as [string, string];
  const openssl = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', [...openssl, '-keyout', key, '-out', cert, '-days', '1', '-subj', '/CN=x'], {
    stdio: 'ignore',
  });
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
    socket.end('secret'),
  );
  rmSync(directory, { recursive: true });
  return server;
}

const secure = (servername: string) =>
  connectTls({ host: address, port, servername, rejectUnauthorized: false }) as unknown as Socket;
const brokenHello = Buffer.from([22, 3, 1, 0, 0]);

it('TLS has to be for the name by which the address was found', async () => {
  await serve('allow:mirror.test', secretServer());
  await lookUp('mirror.test');
  expect(await endOf(secure('mirror.test'))).toBe('secret');
  expect(await endOf(secure('evil.test'))).toBe('ECONNRESET');
  const half = guest();
  half.write(brokenHello);
  expect(await endOf(half)).toBe('ECONNRESET');
  await expect.poll(() => receipts).toHaveLength(4);
  expect(receipts.slice(1)).toMatchObject([
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
  await lookUp('mirror.test');
  expect(await endOf(secure('mirror.test'))).toBe('secret');
  expect(await endOf(secure('evil.test'))).toBe('secret');
  const half = guest();
  half.end(brokenHello);
  await endOf(half);
  await expect.poll(() => receipts).toHaveLength(4);
  expect(receipts.slice(1)).toMatchObject([
    { name: 'mirror.test', serverName: 'mirror.test', verdict: 'allowed', reason: null },
    { name: 'mirror.test', serverName: 'evil.test', verdict: 'allowed', reason: 'server_name' },
    { name: 'mirror.test', serverName: null, verdict: 'allowed', reason: 'hello' },
  ]);
});
