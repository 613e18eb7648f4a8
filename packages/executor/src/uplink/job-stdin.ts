import { Readable } from 'node:stream';
import type { JobClient } from './job-client.ts';

/** Streams the job's stdin as it arrives at the instance. Destroying the stream aborts the request that waits for more. */
export function openJobStdin(client: JobClient, lease: AbortSignal): Readable {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, lease]);
  const pieces = async function* () {
    for (let offset = 0; ; ) {
      const { bytes, end } = await client.input(offset, signal);
      offset += bytes.length;
      if (bytes.length > 0) yield bytes;
      if (end) return;
    }
  };
  const stream = Readable.from(pieces(), { objectMode: false });
  stream.once('close', () => stop.abort());
  stream.on('error', () => {}); // the reader of the stream gets the error
  return stream;
}
