import type { IncomingMessage } from 'node:http';
import type { RequestLimits } from './limits.ts';

/**
 * Reads the rest of a body that nobody uses, so that its sender is ready for the answer. A proxy to which the answer comes earlier, or
 * whose connection ends, may answer 502 in its place. Resolves at the end of the body, and earlier when it is too large, stalls or
 * takes too long, or its sender has gone: then the rest may follow the answer.
 */
export async function drain(
  body: IncomingMessage,
  { drain: { bytes, ms, stallMs } }: RequestLimits,
): Promise<void> {
  if (body.complete || body.destroyed) return;
  const done = Promise.withResolvers<void>();
  const total = setTimeout(done.resolve, ms);
  const stall = setTimeout(done.resolve, stallMs);
  let read = 0;
  const count = (chunk: Buffer) => {
    read += chunk.length;
    if (read > bytes) done.resolve();
    else stall.refresh();
  };
  body.unpipe();
  body.on('data', count);
  body.once('end', done.resolve).once('close', done.resolve).once('error', done.resolve);
  body.resume();
  await done.promise;
  body.off('data', count);
  body.resume(); // without a listener it would wait
  clearTimeout(total);
  clearTimeout(stall);
}
