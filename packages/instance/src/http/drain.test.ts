import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { forbidden } from '../errors.ts';
import { readJson, readStream, streamOf } from './body.ts';
import { answerError } from './errors.ts';
import { requestLimits } from './limits.ts';
import { boundBodies, prove } from './receive.ts';

const MiB = 2 ** 20;
const limits = { ...requestLimits, drainMs: 200, drain: { bytes: 16 * MiB, ms: 800, stallMs: 200 } };
let app: FastifyInstance;
let socket: Socket;
let received: string;

beforeEach(async () => {
  app = Fastify();
  app.setErrorHandler(answerError);
  boundBodies(app, limits);
  app.addHook('onRequest', async (request) => {
    if (request.headers.authorization === undefined) throw forbidden('no token');
    prove(request, 'somebody');
  });
  await app.register(async (scope) => {
    readStream(scope);
    scope.post('/ignored', () => ({ done: true }));
    scope.post('/first', async (request) => {
      for await (const _ of streamOf(request)) throw forbidden('enough');
    });
  });
  await app.register(async (scope) => {
    readJson(scope, MiB);
    scope.post('/json', () => ({ done: true }));
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  received = '';
  socket.on('data', (chunk: Buffer) => void (received += chunk.toString()));
  socket.on('error', () => {});
});
afterEach(async () => {
  socket.destroy();
  await app.close();
});

const head = (path: string, { bytes, token = true }: { bytes?: number; token?: boolean } = {}) =>
  [
    `POST ${path} HTTP/1.1`,
    'host: localhost',
    ...(token ? ['authorization: yes'] : []),
    bytes === undefined ? 'transfer-encoding: chunked' : `content-length: ${bytes}`,
    '\r\n',
  ].join('\r\n');

/** Sends so much of a body, as quickly as it is taken; returns whether an answer came before the last byte. */
async function send(bytes: number, chunked = false): Promise<boolean> {
  const chunk = Buffer.alloc(65_536, 'x');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  let early = false;
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += chunk.length) {
    early ||= received !== '';
    const part = chunked ? Buffer.concat([Buffer.from('10000\r\n'), chunk, Buffer.from('\r\n')]) : chunk;
    if (!socket.write(part)) await Promise.race([once(socket, 'drain').catch(() => closed), closed]);
  }
  return early;
}
const status = () => /^HTTP\/1.1 (\d+)/.exec(received)?.[1];
const answered = () => expect.poll(status, { interval: 10 });

describe('an answer that does not need the rest of the body comes after the body, and keeps the connection', () => {
  test.each([
    ['before the body is read', '/json', { bytes: 8 * MiB, token: false }, '403'],
    ['to a body that announces too much', '/json', { bytes: 8 * MiB }, '413'],
    ['to a body that turns out to be too large', '/json', {}, '413'],
    ['in the middle of a stream', '/first', { bytes: 8 * MiB }, '403'],
    ['in the middle of a stream of chunks', '/first', {}, '403'],
    ['of success', '/ignored', { bytes: 8 * MiB }, '200'],
  ])('%s', async (_, path, options: { bytes?: number; token?: boolean }, expected) => {
    const chunked = options.bytes === undefined;
    socket.write(head(path, options));
    expect(await send(8 * MiB, chunked)).toBe(false);
    if (chunked) socket.write('0\r\n\r\n');
    await answered().toBe(expected);
    expect(received.toLowerCase()).not.toContain('connection: close');
    received = '';
    socket.write(head('/json', { bytes: 2 }));
    socket.write('{}');
    await answered().toBe('200');
  });
});

describe('an answer comes before the end of a body, and the connection ends soon after it,', () => {
  const closesAfterAnswer = async () => {
    await answered().toBe('403');
    await expect.poll(() => socket.closed, { interval: 10 }).toBe(true);
  };

  test('when the body stalls', async () => {
    socket.write(head('/json', { bytes: 8 * MiB, token: false }));
    await sleep(100);
    expect(status()).toBe(undefined);
    await closesAfterAnswer();
  });

  test('when the body is larger than what is drained', async () => {
    socket.write(head('/json', { bytes: 512 * MiB, token: false }));
    const [early] = await Promise.all([send(512 * MiB - 65_536), closesAfterAnswer()]);
    expect(early).toBe(true);
  });

  test('when the body takes too long', async () => {
    socket.write(head('/json', { bytes: 8 * MiB, token: false }));
    const timer = setInterval(() => socket.write('x'), 20);
    await sleep(600);
    expect(status()).toBe(undefined);
    await closesAfterAnswer();
    clearInterval(timer);
  });
});
