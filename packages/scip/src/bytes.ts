import { indexInvalid } from './errors.ts';

/** Reads the bytes of a stream in order. */
export interface ByteReader {
  /** How many bytes were read. */
  readonly position: number;
  /** Returns the next byte, or null at the end. */
  next(): Promise<number | null>;
  /** Returns exactly this many bytes. Errors: `index_invalid` when there are fewer. */
  take(length: number): Promise<Uint8Array>;
  /** Passes over this many bytes and keeps none of them. Errors: as `take`. */
  skip(length: number): Promise<void>;
}

/** Makes a reader of a stream. It holds one chunk, and what `take` asks for. */
export function byteReader(stream: AsyncIterable<Uint8Array>): ByteReader {
  const chunks = stream[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let at = 0;
  let before = 0;
  const refill = async () => {
    while (at === held.length) {
      const { done, value } = await chunks.next();
      if (done) return false;
      before += held.length;
      held = value;
      at = 0;
    }
    return true;
  };
  /** Yields the next bytes part by part. */
  async function* parts(length: number): AsyncGenerator<Uint8Array> {
    let missing = length;
    while (missing > 0) {
      if (!(await refill())) throw indexInvalid('it is cut off');
      const part = held.subarray(at, at + missing);
      at += part.length;
      missing -= part.length;
      yield part;
    }
  }
  return {
    get position() {
      return before + at;
    },
    async next() {
      return at < held.length || (await refill()) ? (held[at++] as number) : null;
    },
    async take(length) {
      if (held.length - at >= length) {
        at += length;
        return held.subarray(at - length, at);
      }
      // Part by part, so that a false length allocates no memory.
      const taken: Uint8Array[] = [];
      for await (const part of parts(length)) taken.push(part);
      return Buffer.concat(taken);
    },
    async skip(length) {
      if (held.length - at >= length) at += length;
      else for await (const _ of parts(length));
    },
  };
}

/** Reads an unsigned number of at most 32 bits; null at the end of the stream. Errors: `index_invalid`. */
export async function readVarint(bytes: ByteReader): Promise<number | null> {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = await bytes.next();
    if (byte === null) {
      if (shift === 0) return null;
      throw indexInvalid('it is cut off');
    }
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) {
      if (value > 0xffffffff) break;
      return value;
    }
  }
  throw indexInvalid('a number in it is too large');
}
