import { createGunzip } from 'node:zlib';
import { pipeline, type Readable } from 'node:stream';
import { payloadInvalid, payloadTooBig } from './errors.ts';
import { maxIndexBytes } from './limits.ts';

/** Bytes that are unpacked at a time, where zlib's 16 KiB would leave most documents in parts, and that wait for their reader. */
const sizes = { chunkSize: 2 ** 18, readableHighWaterMark: 2 ** 21 };

/**
 * Unpacks an uploaded index, which is gzipped whatever the content encoding. `announcedBytes`: its unpacked size according to the
 * client, or null. Errors: `payload_invalid`, `payload_too_big`.
 */
export async function* readPayload(body: Readable, announcedBytes: number | null): AsyncGenerator<Buffer> {
  if (announcedBytes !== null && announcedBytes > maxIndexBytes) throw payloadTooBig(maxIndexBytes);
  let size = 0;
  const plain = pipeline(body, createGunzip(sizes), () => {}) as unknown as AsyncIterable<Buffer>;
  try {
    for await (const chunk of plain) {
      size += chunk.length;
      if (size > maxIndexBytes) throw payloadTooBig(maxIndexBytes);
      yield chunk;
    }
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    // Only errors of zlib are errors of the index; others are of the connection.
    throw /^Z_|^ERR_.*ZLIB/.test(code) ? payloadInvalid(message) : error;
  }
  if (announcedBytes !== null && announcedBytes !== size)
    throw payloadInvalid(`it has ${size} bytes, and ${announcedBytes} were announced`);
}
