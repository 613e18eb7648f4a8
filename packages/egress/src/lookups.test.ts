import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { systemClock } from '@fumehood/base';
import { parseEgressPolicy, type Receipt } from '@fumehood/protocol';
import packet from 'dns-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Aliases } from './aliases.ts';
import { guestLimits, type GuestLimits } from './limits.ts';
import { type Lookups, openLookups } from './lookups.ts';
import { Pins } from './pins.ts';
import { endOf } from './testing/served-guest.ts';

let receipts: Receipt[];
let asked: string[];
let server: Server;
beforeEach(() => {
  receipts = [];
  asked = [];
});
afterEach(() => void server?.close());

const addresses = Array.from({ length: 1_000 }, (_, at) => `1.2.${at >> 8}.${at & 255}`);

function open(limits: Partial<GuestLimits> = {}, policy = 'allow:*.test'): Lookups {
  return openLookups({
    rules: { policy: parseEgressPolicy(policy), privateHosts: [], own: new Set() },
    own: { names: new Set(['npm.broker.internal']), address: '172.31.0.1' },
    pins: new Pins(systemClock),
    aliases: new Aliases(),
    hasProxy: () => false,
    resolve: async (name) => {
      asked.push(name);
      if (name === 'never.test') return await new Promise(() => {});
      return {
        code: 'ok',
        addresses: name === 'many.test' ? addresses : ['1.2.3.4'],
        ttlSeconds: name === 'kept.test' ? 60 : 0,
      };
    },
    clock: systemClock,
    limits: { ...guestLimits, ...limits },
    onReceipt: (receipt) => receipts.push(receipt),
  });
}

const question = (name: string, id = 1) =>
  packet.encode({ type: 'query', id, questions: [{ type: 'A', name }] });
const framed = (message: Buffer) => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
};
const codeOf = (answer: Buffer | null) => answer && (packet.decode(answer) as { rcode?: string }).rcode;

/** Connects to lookups over TCP, as a guest's resolver does after a cut answer. */
async function stream(lookups: Lookups): Promise<Socket> {
  server = createServer((socket) => {
    socket.on('error', () => {});
    void lookups.serveStream(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return connect((server.address() as AddressInfo).port, '127.0.0.1');
}
/** Reads answers until there are so many. */
async function answersOf(socket: Socket, count: number): Promise<packet.Packet[]> {
  const answers: packet.Packet[] = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0); ) {
      answers.push(packet.streamDecode(rest));
      rest = rest.subarray(2 + rest.readUInt16BE(0));
    }
    if (answers.length >= count) break;
  }
  return answers;
}

it('a name of the broker is at the gateway under every policy, and nobody is asked for it', async () => {
  const answer = await open({}, 'none').answer(question('npm.broker.internal'));
  expect(packet.decode(answer as Buffer).answers).toMatchObject([{ data: '172.31.0.1' }]);
  expect(codeOf(await open({}, 'none').answer(question('other.broker.internal')))).toBe('NXDOMAIN');
  expect(asked).toEqual([]);
});

it('a name is asked for once as long as the answer lasts, and each question has its receipt', async () => {
  const lookups = open();
  for (let count = 0; count < 3; count++)
    expect(packet.decode((await lookups.answer(question('kept.test'))) ?? Buffer.of()).answers).toHaveLength(
      1,
    );
  expect(asked).toEqual(['kept.test']);
  expect(receipts.map(({ verdict }) => verdict)).toEqual(['allowed', 'allowed', 'allowed']);
});

describe('a guest that asks', () => {
  it('a hundred thousand times gets an answer to each at once, and few of them are resolved', async () => {
    const lookups = open({ questionsPerSecond: 10 });
    const started = process.cpuUsage();
    const message = question('a.test');
    for (let round = 0; round < 100; round++) {
      const answers = await Promise.all(Array.from({ length: 1_000 }, () => lookups.answer(message)));
      expect(answers.every((answer) => answer !== null)).toBe(true);
    }
    const { user, system } = process.cpuUsage(started);
    expect(asked.length).toBeLessThan(200);
    expect(codeOf(await lookups.answer(message))).toBe('REFUSED');
    expect(receipts.at(-1)?.rule).toBe('a guest asks at most 10 questions a second');
    expect(user + system).toBeLessThan(10e6); // a hundredth of it each
  });

  it('for more at the same time than it may is refused and not left without an answer', async () => {
    const lookups = open({ questions: 2 });
    for (let count = 0; count < 2; count++) void lookups.answer(question('never.test'));
    expect(codeOf(await lookups.answer(question('a.test')))).toBe('REFUSED');
    expect(receipts.at(-1)?.rule).toBe('a guest asks at most 2 questions at the same time');
  });

  it('for what is no name of the internet is told that this is no question, and nobody else is asked', async () => {
    const lookups = open();
    const long = Array.from({ length: 5 }, () => 'a'.repeat(60)).join('.');
    for (const name of [long, 'a b.test', '*.test'])
      expect(codeOf(await lookups.answer(question(name)))).toBe('FORMERR');
    expect(receipts).toHaveLength(3);
    expect(receipts.at(-1)).toMatchObject({ name: null, verdict: 'refused' });
    expect(asked).toEqual([]);
    const answer = packet.encode({ type: 'response', id: 1, questions: [{ type: 'A', name: 'a.test' }] });
    expect(await lookups.answer(answer)).toBeNull();
    expect(await lookups.answer(Buffer.alloc(3))).toBeNull();
  });
});

describe('a guest that asks over TCP', () => {
  it('in pieces, or several questions at once, gets its answers one after the other', async () => {
    const socket = await stream(open());
    const bytes = Buffer.concat([1, 2, 3].map((id) => framed(question('many.test', id))));
    for (const byte of bytes.subarray(0, 40)) socket.write(Buffer.of(byte));
    socket.write(bytes.subarray(40));
    const answers = await answersOf(socket, 3);
    expect(answers.map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(answers[2]?.answers).toHaveLength(1_000);
  });

  it('and reads no answer gets no further ones, and is ended', async () => {
    const socket = await stream(open({ questionMs: 200, questionsPerSecond: 1_000 }, 'public'));
    socket.pause().on('error', () => {});
    for (let count = 0; count < 2_000; count++) socket.write(framed(question('many.test')));
    const connections = () =>
      new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
    await expect.poll(() => asked.length).toBeGreaterThan(1);
    await expect.poll(connections, { timeout: 3_000 }).toBe(0);
    socket.destroy();
    // Each answer has 16 kB: what is written is what the kernel's buffers take.
    expect(asked.length).toBeLessThan(1_000);
  });

  it('and takes too long for one question is ended', async () => {
    const socket = await stream(open({ questionMs: 100 }));
    const trickle = setInterval(() => socket.write(Buffer.of(0)), 20);
    socket.write(Buffer.of(1));
    await endOf(socket);
    clearInterval(trickle);
  });

  it('too much gets one more answer, that it is refused, and a reset', async () => {
    const socket = await stream(open({ questionsPerSecond: 1 }));
    for (let count = 0; count < 100; count++) socket.write(framed(question('a.test', count)));
    const answers = await answersOf(socket, 100).catch(({ code }: NodeJS.ErrnoException) => code);
    expect(answers).toBe('ECONNRESET');
    expect(asked).toHaveLength(5);
    expect(receipts.filter(({ verdict }) => verdict === 'refused')).toHaveLength(1);
  });

  it.each([
    ['longer than any question', Buffer.of(0xff, 0xff, 1)],
    ['no question at all', framed(Buffer.alloc(5))],
  ])('what is %s is reset', async (_, bytes) => {
    const socket = await stream(open());
    socket.write(bytes);
    expect(await endOf(socket)).toBe('ECONNRESET');
  });
});
