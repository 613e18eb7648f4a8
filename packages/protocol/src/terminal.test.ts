import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sizeFrame, terminalReader, typedFrames } from './terminal.ts';

describe('the stdin of a job with a terminal', () => {
  const side = fc.integer({ min: 1, max: 1_000 });
  const size = fc.record({ rows: side, columns: side });
  const typed = fc.uint8Array({ maxLength: 300 });

  it('arrives as it was sent, however it is cut', () => {
    const parts = fc.array(fc.oneof(size, typed), { maxLength: 20 });
    fc.assert(
      fc.property(parts, fc.array(fc.nat({ max: 20 })), (sent, cuts) => {
        const frames = Buffer.concat(
          sent.map((part) => (part instanceof Uint8Array ? typedFrames(part) : sizeFrame(part))),
        );
        const read = terminalReader();
        const bytes: Buffer[] = [];
        let last: unknown = null;
        for (let at = 0, n = 0; at < frames.length; n += 1) {
          const length = (cuts[n] ?? 50) + 1;
          const input = read(frames.subarray(at, at + length));
          bytes.push(input.bytes);
          last = input.size ?? last;
          at += length;
        }
        expect(Buffer.concat(bytes)).toEqual(
          Buffer.concat(sent.filter((part) => part instanceof Uint8Array)),
        );
        expect(last).toEqual(sent.findLast((part) => !(part instanceof Uint8Array)) ?? null);
      }),
    );
  });

  it('may be longer than a frame', () => {
    const bytes = Buffer.alloc(200_000, 'ab');
    expect(terminalReader()(typedFrames(bytes)).bytes.equals(bytes)).toBe(true);
  });

  it.each([
    ['an unknown kind', [2, 0, 0]],
    ['a size that is too short', [1, 0, 3, 0, 1, 0]],
    ['a size of nothing', [1, 0, 4, 0, 0, 0, 1]],
    ['a size beyond the bound', [1, 0, 4, 0, 1, 0x03, 0xe9]],
    ['the largest size', [1, 0, 4, 0xff, 0xff, 0xff, 0xff]],
  ])('with %s is refused', (_what, bytes) => {
    expect(() => terminalReader()(Buffer.from(bytes))).toThrow(RangeError);
  });

  it('holds little of what is not whole, and whatever comes is read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          const { bytes: typedBytes } = terminalReader()(Buffer.from(bytes));
          expect(typedBytes.length).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
