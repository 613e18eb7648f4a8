import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PassThrough, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { diskSize } from '@fumehood/disk';
import { imageInvalid, imageTooBig } from './errors.ts';

/** How some bytes are compressed. Only gzip and zstd can be read. */
export type Compression = 'gzip' | 'zstd' | 'bzip2' | 'xz';

/** First bytes of compressed files, in hexadecimal. A zstd file may begin with a frame that is skipped. */
const magics: readonly (readonly [Compression, RegExp])[] = [
  ['gzip', /^1f8b/],
  ['zstd', /^(28b52ffd|5.2a4d18)/],
  ['bzip2', /^425a68/],
  ['xz', /^fd377a58/],
];

/** Returns how the bytes at an offset of a file are compressed, by the first of them: what a manifest says is not trusted. */
export async function compressionOf(file: string, offset = 0, size = 4): Promise<Compression | null> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, Math.min(size, 4), offset);
    const start = buffer.toString('hex', 0, bytesRead);
    return magics.find(([, magic]) => magic.test(start))?.[0] ?? null;
  } finally {
    await handle.close();
  }
}

/** Returns a stream that decompresses. */
export function decompressor(compression: 'gzip' | 'zstd' | null): Transform {
  if (compression === 'gzip') return createGunzip();
  return compression === 'zstd' ? createZstdDecompress() : new PassThrough();
}

/**
 * Decompresses a file that is compressed as a whole with gzip or zstd to `target`. Returns false, and writes nothing, for every other
 * file. Errors: `image_invalid`, `image_too_big`.
 */
export async function decompressFile(file: string, target: string): Promise<boolean> {
  const compression = await compressionOf(file);
  if (compression !== 'gzip' && compression !== 'zstd') return false;
  const bounded = async function* (chunks: AsyncIterable<Buffer>) {
    let left = diskSize;
    for await (const chunk of chunks) {
      left -= chunk.length;
      if (left < 0) throw imageTooBig(`its archive decompresses to more than ${diskSize} bytes`);
      yield chunk;
    }
  };
  const plain = createReadStream(file, { highWaterMark: 1 << 20 });
  await pipeline(plain, decompressor(compression), bounded, createWriteStream(target, { mode: 0o600 })).catch(
    (error: NodeJS.ErrnoException) => {
      if (!/^(Z_|ZSTD_|ERR_)/.test(error.code ?? '')) throw error;
      throw imageInvalid(
        `its archive is damaged (${error.message})`,
        'Write it again, e.g. with `docker save`.',
      );
    },
  );
  return true;
}
