import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGzip } from 'node:zlib';

/** Returns the bytes of a file, gzipped: the same each time. */
export const packed = (file: string): Readable =>
  pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), createGzip(), () => {});

/** Returns how many bytes a file has when it is gzipped. */
export async function packedSize(file: string): Promise<number> {
  let size = 0;
  for await (const chunk of packed(file) as AsyncIterable<Buffer>) size += chunk.length;
  return size;
}

/** Cuts the gzipped file into slices of a size, of which the last one may be smaller, in their order. */
export async function* slicesOf(
  file: string,
  size: number,
): AsyncGenerator<{ readonly index: number; readonly bytes: Buffer }> {
  let held: Buffer[] = [];
  let room = size;
  let index = 0;
  const slice = () => {
    const bytes = Buffer.concat(held);
    [held, room] = [[], size];
    return { index: index++, bytes };
  };
  for await (let chunk of packed(file) as AsyncIterable<Buffer>) {
    while (chunk.length >= room) {
      held.push(chunk.subarray(0, room));
      chunk = chunk.subarray(room);
      yield slice();
    }
    held.push(chunk);
    room -= chunk.length;
  }
  if (room < size) yield slice();
}
