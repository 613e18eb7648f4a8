import { Readable } from 'node:stream';
import type { JobClient } from './job-client.ts';

/** The job's stdin as it comes. Destroying it ends the waiting for more. */
export function jobInput(client: JobClient, lease: AbortSignal): Readable {
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
  stream.on('error', () => {}); // whoever reads it sees it
  return stream;
}
