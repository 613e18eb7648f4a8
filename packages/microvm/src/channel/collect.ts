import { PassThrough, type Readable } from 'node:stream';
import { artifactRefused, guestProtocol } from '../errors.ts';
import type { Control } from './control.ts';
import type { OutputReader } from './output.ts';

/** What a step left in the guest and the host takes out. */
export interface CollectRequest {
  readonly id: string;
  /** A mounted root in the guest. Init resolves every link inside it. */
  readonly root: string;
  /** Ids with which init opens the file. */
  readonly uid: number;
  readonly gid: number;
  readonly path: string;
  /** A file as it is, or a file or a directory as a tar archive, whose members begin with the path. */
  readonly as: 'file' | 'archive';
  readonly maxBytes: number;
}

/** Returns the file as a stream that ends only after the guest has confirmed its size. Errors of the stream: `artifact_…`. */
export function collectFile(request: CollectRequest, bulk: OutputReader, control: Control): Readable {
  const out = new PassThrough();
  // The guest may answer before the caller reads: a later reader still gets the error.
  out.on('error', () => {});
  let received = 0;
  const use = bulk.begin((chunk) => {
    received += chunk.length;
    // Init has the same limit, but init is not trusted.
    if (received > request.maxBytes)
      out.destroy(
        guestProtocol(`it sent more of ${request.path} than the allowed ${request.maxBytes} bytes`),
      );
    // Bytes of a destroyed stream are read and dropped: otherwise they would block the next file.
    if (out.destroyed || out.write(chunk)) return undefined;
    return new Promise<void>((resolve) => {
      out.once('drain', resolve).once('close', resolve);
    });
  });
  const collect = async () => {
    const { id, root, uid, gid, path, as, maxBytes } = request;
    const collected = control.next('collected', id);
    control.send(as === 'file' ? 'collect' : 'archive', [id, root, uid, gid, path, maxBytes]);
    const [, size, status, message] = (await collected).fields;
    await use.until(size);
    if (status !== 'ok') throw artifactRefused(path, status, message);
    out.end();
  };
  collect().catch((error: unknown) => out.destroy(error as Error));
  return out;
}
