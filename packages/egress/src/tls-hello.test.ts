import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { extension, hello, record, serverName, sized } from './testing/hellos.ts';
import { helloMax, readHello } from './tls-hello.ts';

/** What Node's TLS client sends first. */
async function realHello(servername: string | undefined): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: '127.0.0.1', port, ...(servername !== undefined && { servername }) });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  server.close();
  return bytes;
}

let real: Buffer;
beforeAll(async () => {
  real = await realHello('Registry.Test');
});

describe('the first bytes of a connection', () => {
  it('of a real client have the name that it asks for', async () => {
    expect(readHello(real)).toEqual({ kind: 'hello', serverName: 'registry.test' });
    expect(readHello(await realHello(undefined))).toEqual({ kind: 'hello', serverName: null });
    expect(readHello(hello([serverName('a.test')]))).toEqual({ kind: 'hello', serverName: 'a.test' });
  });

  it('are read from a few records, and not before all are there', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: real.length }), { maxLength: 5 }), (cuts) => {
        const content = real.subarray(5);
        const ends = [...cuts.map((cut) => Math.min(cut, content.length)), 0, content.length].sort(
          (a, b) => a - b,
        );
        const records = ends
          .slice(1)
          .map((end, at) => content.subarray(ends[at], end))
          .filter((part) => part.length > 0)
          .map(record);
        const bytes = Buffer.concat(records);
        expect(readHello(bytes)).toEqual({ kind: 'hello', serverName: 'registry.test' });
        for (const length of [1, 3, 5, 6, 9, 100, bytes.length - 1])
          expect(readHello(bytes.subarray(0, length))).toEqual({ kind: 'incomplete' });
      }),
    );
  });

  it('of other protocols are no TLS', () => {
    for (const text of ['GET / HTTP/1.1\r\n', 'SSH-2.0-x', '\x16\x02\x00'])
      expect(readHello(Buffer.from(text, 'latin1'))).toEqual({ kind: 'other' });
  });

  it.each<[string, Buffer]>([
    ['two server names', hello([serverName('a.test', 'b.test')])],
    ['the server name twice', hello([serverName('a.test'), serverName('b.test')])],
    ['a NUL in the name', hello([serverName('a.test\0.b.test')])],
    ['an empty name', hello([serverName('')])],
    [
      'bytes after the name',
      hello([extension(0, Buffer.concat([sized(2, Buffer.from([0, 0, 1, 97])), Buffer.from([1])]))]),
    ],
    ['an encrypted name', hello([serverName('a.test'), extension(0xfe0d, Buffer.alloc(8))])],
    ['bytes after the extensions', hello([], Buffer.from([0]))],
    ['an extension that is cut off', hello([Buffer.from([0, 0, 0, 9, 1])])],
    ['no hello', record(Buffer.from([2, 0, 0, 1, 0]))],
    [
      'an alert in the middle',
      Buffer.concat([record(hello([]).subarray(5, 20)), Buffer.from([21, 3, 1, 0, 2, 1, 0])]),
    ],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
  ])('with %s are refused', (_, bytes) => expect(readHello(bytes)).toMatchObject({ kind: 'unreadable' }));

  it('that are spread over very many records are refused', () => {
    const records = Array.from({ length: 17 }, (_, at) => record(real.subarray(5 + at, 6 + at)));
    expect(readHello(Buffer.concat(records.slice(0, 16)))).toEqual({ kind: 'incomplete' });
    expect(readHello(Buffer.concat(records))).toMatchObject({ kind: 'unreadable' });
  });

  it('that never come to an end are refused', () => {
    const endless = record(Buffer.concat([Buffer.from([1, 0xff, 0xff, 0xff]), Buffer.alloc(helloMax - 4)]));
    expect(readHello(endless)).toMatchObject({
      kind: 'unreadable',
      why: expect.stringContaining('longer than'),
    });
  });

  it('of any kind are read without an error', () => {
    const mutated = fc.tuple(fc.nat(), fc.nat({ max: 255 })).map(([at, value]) => {
      const bytes = Buffer.from(real);
      bytes[at % bytes.length] = value;
      return bytes;
    });
    const any = fc.uint8Array({ maxLength: 300 }).map((bytes) => record(Buffer.from([1, 0, 0, ...bytes])));
    fc.assert(
      fc.property(fc.oneof(mutated, any), (bytes) => {
        expect(['incomplete', 'other', 'unreadable', 'hello']).toContain(readHello(bytes).kind);
      }),
      { numRuns: 500 },
    );
  });
});
