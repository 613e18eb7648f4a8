import { Readable } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvents, type ServerEvent } from './events.ts';

const maxLength = 2 ** 20;

const all = <T>(items: AsyncIterable<T>) => Readable.from(items).toArray() as Promise<T[]>;

async function* inChunks(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
async function read(text: string, sizes: readonly number[] = [1_000_000]): Promise<ServerEvent[]> {
  return all(readEvents(inChunks(Buffer.from(text), sizes), maxLength));
}

const line = fc.string({ unit: 'binary' }).filter((text) => !/[\r\n]/.test(text));
const event = fc.record({
  id: fc.option(fc.nat().map(String)),
  data: fc.array(line, { minLength: 1, maxLength: 4 }).map((lines) => lines.join('\n')),
});
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
const end = fc.constantFrom('\n', '\r\n');

function written({ id, data }: ServerEvent, newline: string): string {
  const lines = data.split('\n').map((one) => `data: ${one}`);
  return [...(id === null ? [] : [`id: ${id}`]), ...lines, '', ''].join(newline);
}

describe('readEvents', () => {
  it('reads the same events from chunks of any size, with either line ending', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 8 }), sizes, end, async (events, sizes, newline) => {
        const text = events.map((one) => written(one, newline)).join('');
        expect(await read(text, sizes)).toEqual(events);
      }),
    );
  });

  it('reads a stream that was cut off anywhere up to the last complete event', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 5 }), fc.nat(), sizes, async (events, cut, sizes) => {
        const texts = events.map((one) => Buffer.from(written(one, '\n')));
        const whole = Buffer.concat(texts);
        const length = cut % (whole.length + 1);
        let complete = 0;
        for (let sum = 0; (sum += texts[complete]?.length ?? Number.POSITIVE_INFINITY) <= length; )
          complete++;
        const pieces = readEvents(inChunks(whole.subarray(0, length), sizes), maxLength);
        expect(await all(pieces)).toEqual(events.slice(0, complete));
      }),
    );
  });

  it('reads any bytes to their end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), sizes, async (bytes, sizes) => {
        const events = await all(readEvents(inChunks(bytes, sizes), maxLength));
        expect(events.length).toBeLessThan(bytes.length + 1);
      }),
    );
  });

  it('skips comments, other fields and empty events', async () => {
    expect(await read(': hello\n\nretry: 5\nevent: x\nid: 7\ndata:one\ndata:  two\n\n\nid: 8\n\n')).toEqual([
      { id: '7', data: 'one\n two' },
    ]);
  });

  it('rejects an event that never ends, in one line or in many, before it fills the memory', async () => {
    const endless = async function* (piece: string) {
      for (;;) yield Buffer.from(piece);
    };
    for (const piece of ['x'.repeat(65_536), `data: ${'x'.repeat(65_536)}\n`])
      await expect(all(readEvents(endless(piece), maxLength))).rejects.toMatchObject({
        code: 'answer_unknown',
      });
  });
});
