import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { factsOf, FumehoodError } from '@fumehood/base';
import { archiveUnavailable, archiveWrong } from '../../errors.ts';

/** The largest archive, bytes: those of Firecracker have 8 MB. */
export const archiveMax = 64 * 2 ** 20;
const redirectsMax = 5;

export interface FetchOptions {
  readonly signal: AbortSignal;
  /** Called for each part that arrives. The total is null if the server does not say it. */
  readonly onProgress: (receivedBytes: number, totalBytes: number | null) => void;
}

/**
 * Reads an archive from a file or a URL into memory, and returns it if it has this SHA-256: until then nothing looks into it.
 * Errors: `archive_unavailable`, `archive_wrong`, and the reason of the signal.
 */
export async function fetchArchive(from: string, sha256: string, options: FetchOptions): Promise<Buffer> {
  try {
    const { bytes, total } = isUrl(from) ? await open(from, options.signal) : await openFile(from);
    if (total !== null && total > archiveMax) throw archiveWrong(from, tooLarge);
    const archive = await collectArchive(from, bytes, (received) => options.onProgress(received, total));
    const found = createHash('sha256').update(archive).digest('hex');
    if (found !== sha256)
      throw archiveWrong(from, `its SHA-256 is ${found}, and that of the release is ${sha256}`);
    return archive;
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof FumehoodError) throw error;
    throw archiveUnavailable(from, reasonOf(error));
  }
}

const tooLarge = `it has more than ${archiveMax} bytes`;

/** Whether `--from` names a URL, and not a file. */
export const isUrl = (from: string) => /^https?:\/\//.test(from);

interface Opened {
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly total: number | null;
}

async function openFile(path: string): Promise<Opened> {
  const stats = await stat(path);
  if (!stats.isFile()) throw archiveUnavailable(path, 'it is not a file');
  return { bytes: createReadStream(path), total: stats.size };
}

/** Follows redirects itself: what comes at their end counts by its checksum, whoever sends it. */
async function open(url: string, signal: AbortSignal): Promise<Opened> {
  let at = url;
  for (let redirects = 0; redirects <= redirectsMax; redirects++) {
    const response = await fetch(at, {
      ...{ redirect: 'manual', signal },
      headers: { 'accept-encoding': 'identity' },
    });
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      const next = URL.parse(location, at);
      if (!next || !isUrl(next.href)) throw archiveUnavailable(url, 'it leads to what is no URL of HTTP');
      at = next.href;
      continue;
    }
    if (response.status !== 200 || !response.body) {
      await response.body?.cancel();
      throw archiveUnavailable(url, `the server answered ${response.status}`);
    }
    const length = response.headers.get('content-length');
    return {
      bytes: response.body,
      total: length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null,
    };
  }
  throw archiveUnavailable(url, `it was redirected more than ${redirectsMax} times`);
}

async function collectArchive(
  from: string,
  bytes: AsyncIterable<Uint8Array>,
  onReceived: (bytes: number) => void,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let received = 0;
  onReceived(received);
  for await (const part of bytes) {
    received += part.length;
    if (received > archiveMax) throw archiveWrong(from, tooLarge);
    parts.push(part);
    onReceived(received);
  }
  return Buffer.concat(parts);
}

/** An error of the network has its reason in its cause, and that of several addresses has no message. */
function reasonOf(error: unknown): string {
  const { cause } = error as Error;
  const { message, code } = (cause instanceof Error ? cause : error) as NodeJS.ErrnoException;
  return message || code || factsOf(error).message;
}
