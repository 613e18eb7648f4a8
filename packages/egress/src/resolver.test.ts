import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv4, type Server } from 'node:net';
import packet from 'dns-packet';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openResolver, type Resolve } from './resolver.ts';

let udp: Socket;
let tcp: Server;
let resolve: Resolve;
/** Returns what the hostile name server answers to a question, one datagram after the other. */
let answers: (question: Buffer) => Buffer[];

beforeEach(async () => {
  tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      for (const answer of answers(bytes.subarray(2))) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      }
    });
  }).listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  // The other way round the port is often in use: hardly anything here has a port of UDP.
  udp = createSocket('udp4').bind(port, '127.0.0.1');
  await once(udp, 'listening');
  udp.on('message', (question, from) => {
    // What does not fit is asked for again over TCP.
    const cut = answerTo(question, [], { flags: packet.TRUNCATED_RESPONSE });
    for (const answer of answers(question))
      udp.send(answer.length > 1_232 ? cut : answer, from.port, from.address);
  });
  resolve = openResolver([`127.0.0.1:${port}`], false);
});
afterEach(() => {
  udp.close();
  tcp.close();
});

type Records = NonNullable<packet.Packet['answers']>;
const answerTo = (question: Buffer, records: Records, more: Partial<packet.Packet> = {}) => {
  const { id = 0, questions = [] } = packet.decode(question);
  return packet.encode({ type: 'response', id, questions, answers: records, ...more });
};
const a = (name: string, data: string, ttl = 60) => ({ type: 'A' as const, name, data, ttl });
const cname = (name: string, data: string) => ({ type: 'CNAME' as const, name, data });
/** An answer with one record whose bytes these are. */
const raw = (question: Buffer, record: Buffer) => {
  const answer = Buffer.concat([answerTo(question, []), record]);
  answer.writeUInt16BE(1, 6);
  return answer;
};
const record = (name: number[], type: number, data: number[], length = data.length) =>
  Buffer.from([...name, 0, type, 0, 1, 0, 0, 0, 60, length >> 8, length & 255, ...data]);

describe('of a hostile name server', () => {
  it('an answer of very many addresses is cut', async () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => a('a.test', `1.2.${at >> 8}.${at & 255}`));
    answers = (question) => [answerTo(question, many(1_000))];
    expect(await resolve('a.test')).toMatchObject({ code: 'ok', addresses: { length: 1_000 } });
    answers = (question) => [answerTo(question, many(2_500))];
    expect(await resolve('b.test')).toMatchObject({ code: 'ok', addresses: { length: 1_000 } });
  });

  it('an answer with another id, or to another question, is not taken for one', async () => {
    answers = (question) => {
      const forged = answerTo(question, [a('a.test', '6.6.6.6')]);
      forged.writeUInt16BE((forged.readUInt16BE(0) + 1) & 65_535, 0);
      const other = answerTo(question, [a('b.test', '6.6.6.6')], {
        questions: [{ type: 'A', name: 'b.test' }],
      });
      return [forged, other, answerTo(question, [a('a.test', '1.2.3.4')])];
    };
    expect(await resolve('a.test')).toMatchObject({ code: 'ok', addresses: ['1.2.3.4'] });
  });

  it.each<[string, number, number]>([
    ['of no time', 0, 0],
    ['of a minute', 60, 60],
    ['without end', 2 ** 31 - 1, 3_600],
  ])('an answer that lasts for a time %s lasts for an hour at most', async (_, ttl, lasts) => {
    answers = (question) => [answerTo(question, [a('a.test', '1.2.3.4', ttl)])];
    expect(await resolve('a.test')).toMatchObject({ code: 'ok', ttlSeconds: lasts });
  });

  it('a chain of aliases has the addresses at its end, and one that leads in a circle has none', async () => {
    const chain = Array.from({ length: 20 }, (_, at) => cname(`n${at}.test`, `n${at + 1}.test`));
    answers = (question) => [answerTo(question, [...chain, a('n20.test', '1.2.3.4')])];
    expect(await resolve('n0.test')).toMatchObject({ code: 'ok', addresses: ['1.2.3.4'] });
    answers = (question) => [answerTo(question, [cname('a.test', 'b.test'), cname('b.test', 'a.test')])];
    expect(await resolve('a.test')).toMatchObject({ code: 'ok', addresses: [] });
  });

  const own = [0xc0, 12];
  it.each<[string, (question: Buffer) => Buffer]>([
    [
      'whose name points to itself',
      (question) => raw(question, record([0xc0, question.length], 1, [1, 2, 3, 4])),
    ],
    ['whose name points behind its end', (question) => raw(question, record([0xff, 0xff], 1, [1, 2, 3, 4]))],
    ['whose address is short', (question) => raw(question, record(own, 1, [1, 2, 3]))],
    ['that ends in the middle', (question) => raw(question, record(own, 1, [1, 2], 4))],
    ['whose alias is endless', (question) => raw(question, record(own, 5, Array<number>(250).fill(63)))],
    ['that has fewer records than it says', (question) => raw(question, Buffer.alloc(0))],
    ['that failed', (question) => answerTo(question, [], { flags: 2 })],
    ['that is refused', (question) => answerTo(question, [], { flags: 5 })],
  ])('an answer %s is a failure, and no address', async (_, answer) => {
    answers = (question) => [answer(question.subarray(0, 24))];
    expect(await resolve('a.test')).toEqual({ code: 'failed' });
  });

  it('an address that is too long is its beginning, which is checked as any other one', async () => {
    answers = (question) => [raw(question.subarray(0, 24), record(own, 1, [10, 2, 3, 4, 5]))];
    expect(await resolve('a.test')).toMatchObject({ code: 'ok', addresses: ['10.2.3.4'] });
  });

  it('any bytes after the question are an answer or a failure, with nothing but addresses', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((some) => Buffer.from(some)),
      fc.tuple(fc.nat({ max: 15 }), fc.nat({ max: 255 })).map(([at, value]) => {
        const some = record(own, 1, [1, 2, 3, 4]);
        some[at] = value;
        return some;
      }),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (some) => {
        answers = (question) => [raw(question.subarray(0, 24), some)];
        const found = await resolve('a.test');
        if (found.code === 'ok') expect(found.addresses.every((one) => isIPv4(one))).toBe(true);
        else expect(found.code).toBe('failed');
      }),
      { numRuns: 100 },
    );
  });
});
