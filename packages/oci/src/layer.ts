import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PassThrough, pipeline, Readable, Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { FumehoodError } from '@fumehood/base';
import { type ReadEntry, readTar } from '@fumehood/disk';
import type { ImageLayer } from './archive.ts';
import { imageInvalid, imageTooBig } from './errors.ts';

/** Bytes that the layers of an image may still decompress to; counted down while they stream by. */
export interface Budget {
  bytes: number;
}

/**
 * Reads the members of a layer, which it decompresses as a stream, and checks the layer's digest at the end. Errors:
 * `image_invalid`, `image_too_big`, `tar_…`.
 */
export async function* readLayer(file: string, layer: ImageLayer, budget: Budget): AsyncGenerator<ReadEntry> {
  const packed = createHash('sha256');
  const unpacked = createHash('sha256');
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (layer.digestOf === 'packed') packed.update(chunk);
      done(null, chunk);
    },
  });
  let failure: Error | null = null;
  const plain = pipeline(rangeOf(file, layer), hashed, await decompressor(file, layer), (error) => {
    failure = error ?? null;
  }) as NodeJS.ReadableStream & { destroy(): void };
  const counted = async function* () {
    for await (const chunk of plain as unknown as AsyncIterable<Buffer>) {
      budget.bytes -= chunk.length;
      if (budget.bytes < 0) throw imageTooBig('its layers decompress to more than is allowed');
      if (layer.digestOf === 'unpacked') unpacked.update(chunk);
      yield chunk;
    }
  };
  try {
    const chunks = counted();
    // This iterator has no `return`, so that the end of the tar does not end the chunks, which are needed for the digest.
    yield* readTar({ [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) });
    while (!(await chunks.next()).done); // bytes after the end of the tar belong to the digest, too
  } catch (error) {
    // Errors of zlib mean nothing to people.
    throw error instanceof FumehoodError ? error : imageInvalid(`a layer is damaged (${String(error)})`);
  } finally {
    plain.destroy();
  }
  if (failure) throw imageInvalid(`a layer is damaged (${String(failure)})`);
  const hash = layer.digestOf === 'packed' ? packed : unpacked;
  if (`sha256:${hash.digest('hex')}` !== layer.digest) throw imageInvalid(`${layer.digest} has other bytes`);
}

function rangeOf(file: string, { offset, size }: ImageLayer): Readable {
  if (size === 0) return Readable.from([]);
  return createReadStream(file, { start: offset, end: offset + size - 1, highWaterMark: 1 << 20 });
}

/** Returns the decompressor for the layer's first bytes: the media type in the manifest is not trusted. */
async function decompressor(file: string, layer: ImageLayer): Promise<Transform> {
  let magic = Buffer.alloc(0);
  for await (const chunk of rangeOf(file, { ...layer, size: Math.min(layer.size, 4) }))
    magic = Buffer.concat([magic, chunk as Buffer]);
  if (magic.toString('hex', 0, 2) === '1f8b') return createGunzip();
  if (magic.toString('hex') === '28b52ffd') return createZstdDecompress();
  return new PassThrough();
}
