import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline, Readable, Transform } from 'node:stream';
import { FumehoodError } from '@fumehood/base';
import { type ReadEntry, readTar } from '@fumehood/disk';
import type { ImageLayer } from './archive.ts';
import { compressionOf, decompressor } from './compression.ts';
import { imageInvalid, imageTooBig } from './errors.ts';
import { shownPath } from './paths.ts';

/** Bytes that the layers of an image may still decompress to, and the zeros of sparse files; counted down while they stream by. */
export interface Budget {
  bytes: number;
}

/**
 * Reads the members of a layer, which it decompresses as a stream, and checks the layer's digest at the end. Errors:
 * `image_invalid`, `image_too_big`.
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
  const compression = await compressionOf(file, layer.offset, layer.size);
  if (compression === 'bzip2' || compression === 'xz')
    throw imageInvalid(
      `the layer ${layer.digest} is compressed with ${compression}`,
      'Copy the image, so that its layers are compressed anew: `skopeo copy SOURCE docker-archive:FILE`.',
    );
  const plain = pipeline(rangeOf(file, layer), hashed, decompressor(compression), (error) => {
    failure = error ?? null;
  }) as NodeJS.ReadableStream & { destroy(): void };
  const counted = async function* () {
    for await (const chunk of plain as unknown as AsyncIterable<Buffer>) {
      spendBytes(budget, chunk.length);
      if (layer.digestOf === 'unpacked') unpacked.update(chunk);
      yield chunk;
    }
  };
  try {
    const chunks = counted();
    // This iterator has no `return`, so that the end of the tar does not end the chunks, which are needed for the digest.
    for await (const entry of readTar({ [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) })) {
      spendBytes(budget, entry.holes);
      yield { ...entry, uid: ownerOf(entry, 'uid'), gid: ownerOf(entry, 'gid') };
    }
    while (!(await chunks.next()).done); // bytes after the end of the tar belong to the digest, too
  } catch (error) {
    throw inLayer(error, layer);
  } finally {
    plain.destroy();
  }
  if (failure) throw inLayer(failure, layer);
  const hash = layer.digestOf === 'packed' ? packed : unpacked;
  if (`sha256:${hash.digest('hex')}` !== layer.digest) throw imageInvalid(`${layer.digest} has other bytes`);
}

/** Returns an error of reading a layer as one about the image. Errors of zlib mean nothing to people. */
function inLayer(error: unknown, { digest }: ImageLayer): Error {
  if (!(error instanceof FumehoodError))
    return imageInvalid(`the layer ${digest} is damaged (${String(error)})`);
  if (error.code === 'tar_too_big') return imageTooBig(`${error.message} (the layer ${digest})`);
  return error.code === 'tar_invalid' ? imageInvalid(`${error.message} (the layer ${digest})`) : error;
}

/** The largest owner in Linux: the number after it stands for none. */
const ownerMax = 2 ** 32 - 2;

/** Returns the owner or group of a member as Linux has it: a negative number is that of a signed type. Errors: `image_invalid`. */
function ownerOf(entry: ReadEntry, key: 'uid' | 'gid'): number {
  const value = entry[key];
  const id = value < 0 && value >= -(2 ** 31) ? value + 2 ** 32 : value;
  if (id < 0 || id > ownerMax)
    throw imageInvalid(
      `${shownPath(entry.path)} has the ${key} ${value}, which does not exist`,
      `Change the owner of the file where the image is built: Linux has owners from 0 to ${ownerMax}.`,
    );
  return id;
}

function spendBytes(budget: Budget, bytes: number): void {
  budget.bytes -= bytes;
  if (budget.bytes < 0) throw imageTooBig('its layers decompress to more than is allowed');
}

function rangeOf(file: string, { offset, size }: ImageLayer): Readable {
  if (size === 0) return Readable.from([]);
  return createReadStream(file, { start: offset, end: offset + size - 1, highWaterMark: 1 << 20 });
}
