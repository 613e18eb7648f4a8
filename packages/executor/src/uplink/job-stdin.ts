import { Readable } from 'node:stream';
import { factsOf } from '@fumehood/base';
import { type TerminalSize, terminalReader } from '@fumehood/protocol';
import { jobRefused } from '../errors.ts';
import type { JobClient } from './job-client.ts';

/**
 * Returns a decoder for the stdin of a job with a terminal, for `openJobStdin`. It takes what was typed out of the frames, and calls `resize`
 * with the last size of each part that arrives. Errors: `job_refused` for what is no frame.
 */
export function terminalDecoder(resize: (size: TerminalSize) => void): (bytes: Buffer) => Buffer {
  const read = terminalReader();
  return (part) => {
    try {
      const { bytes, size } = read(part);
      if (size) resize(size);
      return bytes;
    } catch (error) {
      throw jobRefused(
        `its stdin is not that of a terminal: ${(error as Error).message}`,
        'Send frames, as `fumehood run --tty` does.',
      );
    }
  };
}

/**
 * Streams the job's stdin as it arrives at the instance. Destroying the stream aborts the request that waits for more. When the job has
 * to stop (`stopped`), nothing more arrives, and that is no error: the step may still use its grace period. The same holds when the
 * instance no longer gives out the stdin, because a heartbeat is about to say why. `decode` turns what arrives into what the step reads.
 */
export function openJobStdin(
  client: JobClient,
  stopped: AbortSignal,
  decode: (bytes: Buffer) => Buffer = (bytes) => bytes,
): Readable {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, stopped]);
  let offset = 0;
  const readMore = async () => {
    for (;;) {
      const { bytes, end } = await client.input(offset, signal);
      offset += bytes.length;
      const decoded = decode(bytes);
      if (decoded.length > 0) stream.push(decoded);
      if (end) stream.push(null);
      if (decoded.length > 0 || end) return;
    }
  };
  // Not `Readable.from` a generator: its `destroy` waits for the generator, which waits for bytes that may never come.
  const stream = new Readable({
    read: () =>
      void readMore().catch((error: Error) => {
        if (!stopped.aborted && factsOf(error).code !== 'lease_lost') stream.destroy(error);
      }),
    destroy(error, done) {
      stop.abort();
      done(error);
    },
  });
  stream.on('error', () => {}); // the reader of the stream gets the error
  return stream;
}
