import { createGunzip } from 'node:zlib';
import { pipeline, type Readable } from 'node:stream';
import { payloadInvalid, payloadTooBig } from './errors.ts';

/** Largest index that is read, bytes before gzip: what is small on the wire may be anything here. */
const indexMax = 4 * 2 ** 30;

/**
 * The bytes of an uploaded index: gzip is its format, not the transfer's. `promised`: its size, where the client said one.
 * Errors: `payload_invalid`, `payload_too_big`.
 */
export async function* readPayload(body: Readable, promised: number | null): AsyncGenerator<Buffer> {
  if (promised !== null && promised > indexMax) throw payloadTooBig(indexMax);
  let size = 0;
  const plain = pipeline(body, createGunzip(), () => {}) as unknown as AsyncIterable<Buffer>;
  try {
    for await (const chunk of plain) {
      size += chunk.length;
      if (size > indexMax) throw payloadTooBig(indexMax);
      yield chunk;
    }
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    // zlib's own; what happens to the connection is nobody's upload.
    throw /^Z_|^ERR_.*ZLIB/.test(code) ? payloadInvalid(message) : error;
  }
  if (promised !== null && promised !== size)
    throw payloadInvalid(`it has ${size} bytes, and ${promised} were promised`);
}
