import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PassThrough, pipeline, Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type ReadEntry, readTar, type TarLimits } from '@glovebox/disk';
import type { ImageLayer } from './archive.ts';
import { imageInvalid } from './errors.ts';

/** Members of a layer, decompressed as they stream by; its digest is checked at its end. Errors: `image_invalid`, `tar_…`. */
export async function* readLayer(
  file: string,
  layer: ImageLayer,
  limits: TarLimits,
): AsyncGenerator<ReadEntry> {
  if (layer.size === 0) return;
  const raw = createReadStream(file, {
    start: layer.offset,
    end: layer.offset + layer.size - 1,
    highWaterMark: 1 << 20,
  });
  const hash = createHash('sha256');
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  let failure: Error | null = null;
  const plain = pipeline(raw, hashed, await decompressor(file, layer), (error) => {
    failure = error ?? null;
  }) as NodeJS.ReadableStream & { destroy(): void };
  try {
    const chunks = (plain as unknown as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    yield* readTar({ [Symbol.asyncIterator]: () => chunks }, limits);
    while (!(await chunks.next()).done); // what follows the archive's end belongs to the digest
  } catch (error) {
    // zlib's errors have no meaning for people
    throw (error as { code?: string }).code?.startsWith('tar_')
      ? error
      : imageInvalid(`a layer is damaged (${String(error)})`);
  } finally {
    plain.destroy();
  }
  if (failure) throw imageInvalid(`a layer is damaged (${String(failure)})`);
  if (layer.digest && `sha256:${hash.digest('hex')}` !== layer.digest)
    throw imageInvalid(`${layer.digest} has other bytes`);
}

/** Chosen by what the bytes are, not by what the manifest calls them. */
async function decompressor(file: string, layer: ImageLayer): Promise<Transform> {
  let magic = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { start: layer.offset, end: layer.offset + 3 })) {
    magic = Buffer.concat([magic, chunk as Buffer]);
  }
  if (magic.toString('hex', 0, 2) === '1f8b') return createGunzip();
  if (magic.toString('hex') === '28b52ffd') return createZstdDecompress();
  return new PassThrough();
}
