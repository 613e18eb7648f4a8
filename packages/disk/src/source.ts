import { tarInvalid } from './errors.ts';

/** A stream of bytes that its reader takes in the amounts it needs. It holds at most one chunk. */
export interface ByteSource {
  /** Returns exactly `size` bytes, or null at the end of the stream. Errors: `tar_invalid` when it ends in between. */
  take(size: number): Promise<Buffer | null>;
  /** Returns the next bytes, at most `size`. Errors: `tar_invalid` at the end of the stream. */
  some(size: number): Promise<Buffer>;
  /** Closes the stream: a file that is not read to its end would stay open otherwise. */
  close(): Promise<void>;
}

/** Returns a byte source that reads from `stream`. */
export function byteSource(stream: AsyncIterable<Uint8Array>): ByteSource {
  const iterator = stream[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  const refill = async () => {
    const { done, value } = await iterator.next();
    if (done) return false;
    held = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return true;
  };
  return {
    async take(size) {
      const parts: Buffer[] = [];
      let missing = size;
      while (missing > 0) {
        if (held.length === 0 && !(await refill())) {
          if (parts.length === 0) return null;
          throw tarInvalid('it ends in the middle');
        }
        const part = held.subarray(0, missing);
        held = held.subarray(part.length);
        missing -= part.length;
        if (part.length > 0) parts.push(part);
      }
      return Buffer.concat(parts);
    },
    async some(size) {
      while (held.length === 0) if (!(await refill())) throw tarInvalid('it ends in the middle');
      const part = held.subarray(0, size);
      held = held.subarray(part.length);
      return part;
    },
    async close() {
      await iterator.return?.();
    },
  };
}
