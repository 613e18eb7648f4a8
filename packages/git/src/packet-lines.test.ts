import { assert, asyncProperty, integer, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { delimiterPacket, flushPacket, packetLine, readPackets } from './packet-lines.ts';

async function read(bytes: Buffer, cut: number): Promise<string[]> {
  const chunks = function* () {
    for (let at = 0; at < bytes.length; at += cut) yield bytes.subarray(at, at + cut);
  };
  const out: string[] = [];
  const source = (async function* () {
    yield* chunks();
  })();
  for await (const packet of readPackets(source))
    out.push(packet.type === 'data' ? packet.bytes.toString() : packet.type);
  return out;
}

describe('packet lines', () => {
  it('are read from chunks of every size', async () => {
    const bytes = Buffer.concat([
      packetLine('one\n'),
      delimiterPacket,
      packetLine(''),
      packetLine('two'),
      flushPacket,
    ]);
    for (const cut of [1, 3, 7, 100])
      expect(await read(bytes, cut)).toEqual(['one\n', 'delimiter', '', 'two', 'flush']);
  });

  it('are read from random bytes, or rejected with `git_protocol`', async () => {
    await assert(
      asyncProperty(uint8Array({ maxLength: 200 }), integer({ min: 1, max: 50 }), async (bytes, cut) => {
        await read(Buffer.from(bytes), cut).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'git_protocol' });
        });
      }),
    );
  });
});
