import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import Fastify from 'fastify';
import { pino } from 'pino';
import { afterAll, expect, test } from 'vitest';
import { requestLimits } from './limits.ts';
import { listenHttp } from './listen.ts';

const directory = mkdtempSync(join(tmpdir(), 'listen-'));
afterAll(() => rmSync(directory, { recursive: true }));

const listen = async (port: number) => {
  const app = Fastify();
  app.get('/', async () => 'here');
  const socket = join(directory, 'socket');
  return await listenHttp(
    app,
    { port, socket, tls: null, plain: null },
    { clock: systemClock, log: pino({ level: 'silent' }), limits: requestLimits },
  );
};

test('the port on loopback is the configured one, and another one only while a program uses it', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const elsewhere = await listen(port);
  expect(elsewhere.port).not.toBe(port);
  expect(await (await fetch(`http://127.0.0.1:${elsewhere.port}/`)).text()).toBe('here');
  await elsewhere.close();
  other.close();
  await once(other, 'close');
  const there = await listen(port);
  expect(there.port).toBe(port);
  await there.close();
});
