import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { FumehoodError } from '@fumehood/base';
import { requestBroken, requestTooBig } from './errors.ts';

const unpack = promisify(gunzip);

/**
 * Returns the body of a request as its client had it: git clients gzip a long one, which git would unpack to any size, and upstream's clients
 * all. Errors: `tooBig`, by default `request_too_big` of a git client, and `invalid_request`.
 */
export async function unpackRequest(
  body: Buffer,
  contentEncoding: string | undefined,
  maxBytes: number,
  tooBig: (maxBytes: number) => FumehoodError = requestTooBig,
): Promise<Buffer> {
  if (!/^(x-)?gzip$/.test(contentEncoding ?? '')) return body;
  try {
    return await unpack(body, { maxOutputLength: maxBytes });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === 'ERR_BUFFER_TOO_LARGE' ? tooBig(maxBytes) : requestBroken(message);
  }
}
