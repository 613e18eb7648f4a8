import type { Writable } from 'node:stream';

/** Writes to a stream. Returns a promise while the stream's buffer is full, so that the caller applies backpressure. */
export function write(stream: Writable, bytes: Buffer): Promise<void> | void {
  if (stream.write(bytes)) return undefined;
  return new Promise((resolve) => {
    stream.once('drain', resolve).once('close', resolve);
  });
}
