import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeMessage, type Message, messageReader } from './frame.ts';
import { fieldsMax, frameMax } from './limits.ts';

const refused = { code: 'guest_protocol' };
const verb = fc.stringMatching(/^[a-z-]{1,32}$/);
const message = fc.record({ verb, fields: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }) });

/** Reads the stream in pieces of these sizes, repeatedly. */
function readAll(stream: Buffer, sizes: readonly number[]): Message[] {
  const read = messageReader(frameMax);
  const messages: Message[] = [];
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    messages.push(...read(stream.subarray(at, at + size)));
    at += size;
  }
  return messages;
}
/** Returns a frame with this body and this declared length. */
function frame(body: readonly number[], length = body.length): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(length);
  return Buffer.concat([head, Buffer.from(body)]);
}
const field = (text: string) => [text.length, 0, 0, 0, ...Buffer.from(text)];

describe('a message', () => {
  it('survives encoding and decoding, whatever its bytes and however the stream is split', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 10 }),
        (messages, sizes) => {
          const stream = Buffer.concat(messages.map(({ verb, fields }) => encodeMessage(verb, fields)));
          expect(readAll(stream, sizes)).toEqual(
            messages.map(({ verb, fields }) => ({ verb, fields: fields.map((bytes) => Buffer.from(bytes)) })),
          );
        },
      ),
    );
  });

  it('encodes numbers as decimals and texts as UTF-8', () => {
    const [read] = readAll(encodeMessage('file', ['å', 2 ** 40, Uint8Array.of(0, 255)]), [9]);
    expect(read?.fields).toEqual([Buffer.from('å'), Buffer.from('1099511627776'), Buffer.from([0, 255])]);
  });

  it('may fill its frame, but not exceed it by a byte', () => {
    const room = frameMax - 4 - 'file'.length - 4;
    const [read] = readAll(encodeMessage('file', [Buffer.alloc(room, 1)]), [100_000]);
    expect(read?.fields[0]).toHaveLength(room);
    expect(() => encodeMessage('file', [Buffer.alloc(room + 1)])).toThrow(expect.objectContaining(refused));
  });

  it('may have the largest number of fields, but not one more', () => {
    const most = Array.from({ length: fieldsMax - 1 }, () => '');
    expect(readAll(encodeMessage('step', most), [5_000])[0]?.fields).toHaveLength(fieldsMax - 1);
    expect(() => encodeMessage('step', [...most, ''])).toThrow(expect.objectContaining(refused));
  });
});

describe('a stream', () => {
  it.each([
    ['a length of 0', frame([])],
    ['a length above the limit', frame([], frameMax + 1)],
    ['a length of 4 GiB', frame([], 2 ** 32 - 1)],
    ['a field longer than its frame', frame([9, 0, 0, 0, 1])],
    ['a field of 4 GiB', frame([255, 255, 255, 255])],
    ['bytes after the last field', frame([...field('ping'), 1, 0, 0])],
    ['one field too many', frame([...field('step'), ...Array.from({ length: 4 * fieldsMax }, () => 0)])],
    ['an empty verb', frame(field(''))],
    ['a verb in capitals', frame(field('PING'))],
    ['a verb with a newline', frame(field('ping\n'))],
    ['a verb that is too long', frame(field('a'.repeat(33)))],
  ])('with %s is refused', (_what, stream) => {
    const sizes = stream.length > 65_536 ? [1_000] : [1, 3]; // a million pieces take seconds
    for (const size of [...sizes, stream.length])
      expect(() => readAll(stream, [size])).toThrow(expect.objectContaining(refused));
  });

  it('is refused at a wrong length, before its body arrives', () => {
    const read = messageReader(frameMax);
    expect(() => read(frame([], frameMax + 1))).toThrow(expect.objectContaining(refused));
  });

  it('that ends inside a frame yields no message yet', () => {
    const whole = encodeMessage('knocked', ['abc', 1]);
    for (let length = 0; length < whole.length; length++)
      expect(readAll(whole.subarray(0, length), [2])).toEqual([]);
  });

  it('of random bytes yields messages or fails with `guest_protocol`, never with another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (bytes, size) => {
        try {
          readAll(Buffer.from(bytes), [size]);
        } catch (error) {
          expect(error).toMatchObject(refused);
        }
      }),
      { numRuns: 500 },
    );
  });
});
