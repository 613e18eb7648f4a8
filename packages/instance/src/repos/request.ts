import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { requestBroken, requestTooBig } from './errors.ts';

const unpack = promisify(gunzip);

/**
 * Returns the body of a git client's request as git has to read it. Git clients gzip a long one, and git would unpack it to any
 * size. Errors: `request_too_big`, `invalid_request`.
 */
export async function unpackRequest(
  body: Buffer,
  contentEncoding: string | undefined,
  maxBytes: number,
): Promise<Buffer> {
  if (!/^(x-)?gzip$/.test(contentEncoding ?? '')) return body;
  try {
    return await unpack(body, { maxOutputLength: maxBytes });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === 'ERR_BUFFER_TOO_LARGE' ? requestTooBig(maxBytes) : requestBroken(message);
  }
}
