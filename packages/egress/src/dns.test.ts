import packet from 'dns-packet';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerOf, messageMax, readQuestion } from './dns.ts';

const ask = (name: string, type: packet.RecordType = 'A', more: Partial<packet.Packet> = {}) =>
  packet.encode({
    type: 'query',
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type, name }],
    ...more,
  });
const read = (name: string, type?: packet.RecordType) => {
  const question = readQuestion(ask(name, type));
  if (!question) throw new Error(`${name} was not read`);
  return question;
};

describe('a question', () => {
  it('has its name in lower case, its type, and the size of datagrams', () => {
    expect(read('Registry.Test')).toMatchObject({ name: 'registry.test', type: 1, id: 7, datagramMax: 512 });
    expect(read('_srv._tcp.a.test', 'AAAA')).toMatchObject({ name: '_srv._tcp.a.test', type: 28 });
    const edns = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as never;
    expect(readQuestion(ask('a.test', 'A', { additionals: [edns] }))?.datagramMax).toBe(1232);
  });

  it.each<[string, Buffer]>([
    ['is empty', Buffer.alloc(0)],
    ['is a header alone', ask('a.test').subarray(0, 12)],
    ['is an answer', packet.encode({ type: 'response', id: 1, questions: [{ type: 'A', name: 'a.test' }] })],
    [
      'asks twice',
      ask('a.test', 'A', {
        questions: [
          { type: 'A', name: 'a' },
          { type: 'A', name: 'b' },
        ],
      }),
    ],
    ['asks nothing', ask('a.test', 'A', { questions: [] })],
    ['asks for the root', ask('.')],
    ['has bytes after its end', Buffer.concat([ask('a.test'), Buffer.alloc(1)])],
    ['has answers', ask('a.test', 'A', { answers: [{ type: 'A', name: 'a', data: '1.1.1.1' }] })],
    [
      'has an addition that is not EDNS',
      ask('a.test', 'A', { additionals: [{ type: 'A', name: 'a', data: '1.1.1.1' }] }),
    ],
    ['is of another class', ask('a.test', 'A', { questions: [{ type: 'A', name: 'a.test', class: 'CH' }] })],
  ])('that %s is not read', (_, message) => expect(readQuestion(message)).toBeNull());

  const raw = (...labels: (string | Buffer)[]) => {
    const name = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
    return Buffer.concat([ask('a').subarray(0, 12), ...name, Buffer.from([0, 0, 1, 0, 1])]);
  };
  it('with a dot, a NUL or a byte that is no letter inside a label is not read', () => {
    expect(readQuestion(raw('a', 'test'))?.name).toBe('a.test');
    for (const label of ['a.b', 'a\0', 'a b', 'ä', 'a/b', '*'])
      expect(readQuestion(raw(label, 'test'))).toBeNull();
  });
  it('has at most 253 characters, and labels of at most 63', () => {
    const long = 'a'.repeat(63);
    expect(readQuestion(raw(long, long, long, 'a'.repeat(61)))?.name).toHaveLength(253);
    expect(readQuestion(raw(long, long, long, 'a'.repeat(62)))).toBeNull();
    expect(readQuestion(raw('a'.repeat(64), 'test'))).toBeNull();
  });
  it('with compression, which may loop, is not read', () => {
    const looping = Buffer.concat([ask('a').subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
    expect(readQuestion(looping)).toBeNull();
  });
  it('of any bytes is read as the library reads it, or not at all', () => {
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.concat([ask('a').subarray(0, 12), bytes])),
    );
    fc.assert(
      fc.property(message, (bytes) => {
        const question = readQuestion(bytes);
        if (question) expect(packet.decode(bytes).questions?.[0]?.name.toLowerCase()).toBe(question.name);
      }),
    );
  });
});

describe('an answer', () => {
  const addresses = (count: number) => Array.from({ length: count }, (_, at) => `1.2.${at >> 8}.${at & 255}`);
  const ok = (count: number) => ({ code: 'ok', addresses: addresses(count), ttlSeconds: 60 }) as const;

  it('has the addresses, and the name as the guest spelled it', () => {
    const answer = packet.decode(answerOf(read('a.TEST'), ok(2), 512));
    expect(answer).toMatchObject({
      id: 7,
      type: 'response',
      rcode: 'NOERROR',
      flag_tc: false,
      flag_rd: true,
    });
    expect(answer.questions).toMatchObject([{ name: 'a.TEST', type: 'A' }]);
    expect(answer.answers).toMatchObject([
      { name: 'a.TEST', type: 'A', ttl: 60, data: '1.2.0.0' },
      { name: 'a.TEST', type: 'A', ttl: 60, data: '1.2.0.1' },
    ]);
  });
  it('of many addresses has those that fit, and says that there are more', () => {
    const cut = answerOf(read('a.test'), ok(1000), 512);
    expect(cut.length).toBeLessThanOrEqual(512);
    expect(packet.decode(cut)).toMatchObject({ flag_tc: true });
    expect(packet.decode(cut).answers?.length).toBeGreaterThan(25);
    expect(packet.decode(answerOf(read('a.test'), ok(1000), messageMax)).answers).toHaveLength(1000);
  });
  it('to a question for anything but IPv4 addresses says that there is nothing of that kind', () => {
    for (const type of ['AAAA', 'TXT', 'MX', 'SRV'] as const) {
      const answer = packet.decode(answerOf(read('a.test', type), ok(2), 512));
      expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [] });
    }
  });
  it.each([
    ['no_such_name', 'NXDOMAIN'],
    ['failed', 'SERVFAIL'],
    ['refused', 'REFUSED'],
  ] as const)('%s is %s', (code, rcode) => {
    expect(packet.decode(answerOf(read('a.test'), { code }, 512))).toMatchObject({ rcode, answers: [] });
  });
});
