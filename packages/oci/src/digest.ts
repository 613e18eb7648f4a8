import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { imageInvalid } from './errors.ts';
import type { Descriptor } from './schema.ts';

/** Returns the SHA-256 of some bytes as an OCI digest. */
export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Returns the SHA-256 of a file as an OCI digest. */
export async function digestOfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}

/** Returns the bytes after checking that they have the descriptor's digest. Errors: `image_invalid`. */
export function verifyBlob(descriptor: Descriptor, bytes: Buffer): Buffer {
  if (digestOf(bytes) !== descriptor.digest) throw imageInvalid(`${descriptor.digest} has other bytes`);
  return bytes;
}
