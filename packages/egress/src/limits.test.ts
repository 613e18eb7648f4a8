import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Receipt } from '@fumehood/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { BoundedReceipts } from './bounded-receipts.ts';
import { ConnectionBudget, connectionsFor } from './budget.ts';
import { Bucket } from './limits.ts';
import { echo, endOf, serveGuest, type ServedGuest } from './testing/served-guest.ts';

// The network of these tests is loopback, which no operator can open.
vi.mock('./addresses.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  isOpenable: () => true,
}));

let guest: ServedGuest;
let open: ServedGuest[] = [];
afterEach(async () => {
  await Promise.all(open.map((one) => one.close()));
  open = [];
});

/** Serves a guest that knows the address of `mirror.test`. */
async function serve(...[policy, server, options]: Parameters<typeof serveGuest>): Promise<void> {
  guest = await serveGuest(policy, server, options);
  open.push(guest);
  await guest.lookUp('mirror.test');
}
const silent = () =>
  createServer({ allowHalfOpen: true }, (socket) => void socket.on('error', () => {}).resume());
/** Resolves with the rule of the last receipt, once there are so many besides that of the lookup. */
async function lastRule(count: number): Promise<string | undefined> {
  await expect.poll(() => guest.receipts.length).toBe(count + 1);
  return guest.receipts.at(-1)?.rule;
}
async function connected(): Promise<Socket> {
  const socket = guest.connect();
  socket.write('x');
  await once(socket, 'data');
  return socket;
}

describe('a guest', () => {
  it('that has all of its connections gets no other one until one ends', async () => {
    await serve('public', echo(), { limits: { connections: 2 } });
    const first = await connected();
    const second = await connected();
    expect(await endOf(guest.connect())).toBe('ECONNRESET');
    expect(await lastRule(1)).toBe('a guest has at most 2 connections at the same time');
    first.end();
    await endOf(first);
    await lastRule(2);
    (await connected()).destroy();
    second.destroy();
  });

  it('that connects over and over is refused at once, whether it may connect or not', async () => {
    await serve('public', echo(), { limits: { connectionsPerSecond: 1 } });
    for (let count = 0; count < 5; count++) (await connected()).destroy();
    for (let count = 0; count < 3; count++) expect(await endOf(guest.connect())).toBe('ECONNRESET');
    expect(await endOf(guest.connect('127.0.0.1'))).toBe('ECONNRESET');
    expect(await lastRule(9)).toBe('a guest makes at most 1 connections a second');
  });

  it('has its connections ended with the reason when it has moved all of its bytes, and gets no other one', async () => {
    await serve('public', echo(), { limits: { bytes: 100_000 } });
    const socket = guest.connect();
    socket.write(Buffer.alloc(200_000));
    expect(await endOf(socket)).toBe('ECONNRESET');
    expect(await lastRule(1)).toBe('a guest moves at most 100000 bytes');
    expect(guest.receipts.at(-1)).toMatchObject({ verdict: 'refused', reason: 'bytes' });
    expect(await endOf(guest.connect())).toBe('ECONNRESET');
    expect(await lastRule(2)).toBe('a guest moves at most 100000 bytes');
  });

  it('that moves bytes too fast is slowed down and loses none', async () => {
    await serve('public', echo(), { limits: { bytesPerSecond: 800_000 } });
    const started = performance.now();
    const socket = guest.connect();
    socket.end('x'.repeat(2_200_000));
    expect(await endOf(socket)).toHaveLength(2_200_000);
    expect(performance.now() - started).toBeGreaterThan(400); // 4.4 MB, of which 4 may go at once
  });

  it('does not hold a connection by a hello that it begins late and never ends', async () => {
    await serve('allow:mirror.test', silent(), { limits: { helloMs: 50 } });
    const socket = guest.connect();
    await once(socket, 'connect');
    await delay(100); // a client that lets the server speak first may wait
    socket.write(Buffer.from([22, 3, 1]));
    expect(await endOf(socket)).toBe('ECONNRESET');
    expect(await lastRule(1)).toBe('the TLS hello did not end in time');
  });

  it('does not wait for a server that does not answer', async () => {
    const dial = () => ({
      socket: connect({ host: 'silent.test', port: 1, lookup: () => {} }),
      ready: new Promise<never>(() => {}),
    });
    await serve('public', echo(), { limits: { dialMs: 50 }, dial });
    expect(await endOf(guest.connect())).toBe('ECONNRESET');
    expect(await lastRule(1)).toBe('the server did not answer in time');
  });

  it('does not hold a connection on which nothing moves, and half a one for a shorter time', async () => {
    await serve('public', silent(), { limits: { idleMs: 60_000, halfIdleMs: 50 } });
    const half = guest.connect();
    half.end('x');
    expect(await endOf(half)).toBe('ECONNRESET');
    await serve('public', silent(), { limits: { idleMs: 50 } });
    expect(await endOf(guest.connect())).toBe('ECONNRESET');
  });

  it('that ends while its server answers is done at once when its network is closed', async () => {
    await serve('public', echo());
    const socket = guest.connect();
    socket.end('x');
    await once(socket, 'data');
    socket.destroy();
    await guest.close();
    expect(guest.receipts).toHaveLength(2);
    open = [];
  });

  it('that is beyond the budget of all guests is told so', async () => {
    await serve('public', echo(), { budget: new ConnectionBudget(2) });
    const first = await connected();
    expect(await endOf(guest.connect())).toBe('ECONNRESET');
    expect(await lastRule(1)).toContain('has no room');
    first.destroy();
  });
});

describe('the budget of connections', () => {
  it('is what descriptors and memory allow, whichever is less', () => {
    expect(connectionsFor({ descriptors: 20_000, memoryBytes: 2 ** 40 })).toBe(9_488);
    expect(connectionsFor({ descriptors: 2 ** 20, memoryBytes: 2 ** 30 })).toBe(170);
    expect(connectionsFor({ descriptors: 1_024, memoryBytes: 2 ** 30 })).toBe(16);
  });

  it('leaves a share to each guest, however many connections the others ask for', () => {
    const budget = new ConnectionBudget(100);
    const greedy = [budget.join(), budget.join(), budget.join()];
    const late = budget.join();
    let held = 0;
    for (let round = 0; round < 200; round++) for (const share of greedy) held += Number(share.take());
    expect(held).toBeGreaterThanOrEqual(50);
    let own = 0;
    for (let round = 0; round < 200; round++) own += Number(late.take());
    expect(own).toBeGreaterThanOrEqual(12);
    expect(held + own).toBeLessThanOrEqual(100);
    late.release();
    expect(late.take()).toBe(true);
    for (const share of greedy) share.leave();
  });
});

it('a bucket holds what five seconds give, and is filled by time alone', () => {
  const time = { ms: 0 };
  const bucket = new Bucket(10, () => time.ms);
  const taken = () => Array.from({ length: 100 }, () => bucket.take()).filter(Boolean).length;
  expect(taken()).toBe(50);
  time.ms += 1_000;
  expect(taken()).toBe(10);
  time.ms += 3_600_000;
  expect(taken()).toBe(50);
  expect(bucket.takeAll(20)).toBe(2_000);
  time.ms += 2_000;
  expect(bucket.takeAll(0)).toBe(0);
});

it('of a hundred thousand receipts some hundreds are passed on, and one says how many more there were and what they moved', () => {
  const time = { ms: 0 };
  const given: Receipt[] = [];
  const receipts = new BoundedReceipts(new Bucket(100, () => time.ms), (receipt) => given.push(receipt));
  const facts = { name: null, address: '1.1.1.1', port: 1, serverName: null, sentBytes: 2, receivedBytes: 3 };
  for (let at = 0; at < 100_000; at++)
    receipts.add({ at, kind: 'connection', ...facts, verdict: 'refused', rule: 'no', reason: null });
  expect(given).toHaveLength(500);
  time.ms += 10;
  receipts.add({ at: 0, kind: 'connection', ...facts, verdict: 'refused', rule: 'no', reason: null });
  receipts.end();
  expect(given).toHaveLength(502);
  expect(given[500]).toMatchObject({ sentBytes: 199_000, receivedBytes: 298_500, address: null });
  expect(given[500]).toMatchObject({
    kind: 'omitted',
    rule: expect.stringContaining('99500 more are not listed'),
  });
});
