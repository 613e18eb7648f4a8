import { Readable } from 'node:stream';
import { factsOf } from '@fumehood/base';
import type { JobClient } from './job-client.ts';

/**
 * Streams the job's stdin as it arrives at the instance. Destroying the stream aborts the request that waits for more. When the job has
 * to stop (`stopped`), nothing more arrives, and that is no error: the step may still use its grace period. The same holds when the
 * instance no longer gives out the stdin, because a heartbeat is about to say why.
 */
export function openJobStdin(client: JobClient, stopped: AbortSignal): Readable {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, stopped]);
  let offset = 0;
  const readMore = async () => {
    for (;;) {
      const { bytes, end } = await client.input(offset, signal);
      offset += bytes.length;
      if (bytes.length > 0) stream.push(bytes);
      if (end) stream.push(null);
      if (bytes.length > 0 || end) return;
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
