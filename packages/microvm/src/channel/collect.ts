import { PassThrough, type Readable } from 'node:stream';
import { artifactRefused, guestProtocol } from '../errors.ts';
import type { OutputReader } from './streams.ts';

/** A file that a step left. */
export interface CollectRequest {
  readonly id: string;
  /** A mounted root in the guest; no link leads out of it. */
  readonly root: string;
  /** Ids under which it is opened. */
  readonly uid: number;
  readonly gid: number;
  readonly path: string;
  readonly maxBytes: number;
}

type Answer = readonly [id: string, size: number, status: string, message: string];

/** The file as a stream; it ends well only after the guest confirmed its size. */
export function collectFile(
  request: CollectRequest,
  bulk: OutputReader,
  ask: (fields: (string | number)[]) => Promise<Answer>,
): Readable {
  const out = new PassThrough();
  // The guest may answer before anybody reads: whoever then does is told, and nobody else is.
  out.on('error', () => {});
  let received = 0;
  const taking = bulk.begin((chunk) => {
    received += chunk.length;
    // Init keeps the bound too, but it is the guest's.
    if (received > request.maxBytes)
      out.destroy(guestProtocol(`more of ${request.path} than the ${request.maxBytes} bytes asked for`));
    // What nobody wants any more is read all the same: it must not stand in the way of the next file.
    if (out.destroyed || out.write(chunk)) return undefined;
    return new Promise<void>((resolve) => {
      out.once('drain', resolve).once('close', resolve);
    });
  });
  const collect = async () => {
    const { id, root, uid, gid, path, maxBytes } = request;
    const [, size, status, message] = await ask([id, root, uid, gid, path, maxBytes]);
    await taking.until(size);
    if (status !== 'ok') throw artifactRefused(path, status, message);
    out.end();
  };
  collect().catch((error: unknown) => out.destroy(error as Error));
  return out;
}
