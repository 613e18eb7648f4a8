import type { Writable } from 'node:stream';

/** Writes, and waits while the reader is slower. */
export function write(stream: Writable, bytes: Buffer): Promise<void> | void {
  if (stream.write(bytes)) return undefined;
  return new Promise((resolve) => {
    stream.once('drain', resolve).once('close', resolve);
  });
}
