import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PassThrough, pipeline, Readable, Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { FumehoodError } from '@fumehood/base';
import { type ReadEntry, readTar } from '@fumehood/disk';
import type { ImageLayer } from './archive.ts';
import { imageInvalid, imageTooBig } from './errors.ts';

/** What all layers of an image may still unpack to in one reading; counted down as they stream by. */
export interface Budget {
  bytes: number;
}

/**
 * Members of a layer, decompressed as they stream by; its digest is checked at its end. Errors: `image_invalid`,
 * `image_too_big`, `tar_…`.
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
      if (budget.bytes < 0) throw imageTooBig('its layers unpack to more than is allowed');
      if (layer.digestOf === 'unpacked') unpacked.update(chunk);
      yield chunk;
    }
  };
  try {
    const chunks = counted();
    // Without a `return`: the archive's end is not the end of these bytes.
    yield* readTar({ [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) });
    while (!(await chunks.next()).done); // what follows the archive's end belongs to the digest
  } catch (error) {
    // zlib's errors have no meaning for people
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

/** Chosen by what the bytes are, not by what the manifest calls them. */
async function decompressor(file: string, layer: ImageLayer): Promise<Transform> {
  let magic = Buffer.alloc(0);
  for await (const chunk of rangeOf(file, { ...layer, size: Math.min(layer.size, 4) }))
    magic = Buffer.concat([magic, chunk as Buffer]);
  if (magic.toString('hex', 0, 2) === '1f8b') return createGunzip();
  if (magic.toString('hex') === '28b52ffd') return createZstdDecompress();
  return new PassThrough();
}
