import type { Socket } from 'node:net';
import { guestProtocol } from '../errors.ts';
import { missingByteMs } from './limits.ts';

/** Takes a chunk of output. The socket is not read further until it resolves (backpressure). */
export type OutputSink = (chunk: Buffer) => void | Promise<void>;

/** One use of an output stream: from `begin` until the announced number of bytes has arrived. */
export interface OutputUse {
  /** Rejects as soon as the sink rejects or bytes arrived outside a use. */
  readonly failed: Promise<never>;
  /** Resolves when the sink has taken exactly `total` bytes. Errors: `guest_protocol` for more or fewer bytes. */
  until(total: number): Promise<void>;
}

/** An output stream of a guest. */
export interface OutputReader {
  /** Hands every byte that arrives from now on to `sink`. */
  begin(sink: OutputSink): OutputUse;
}

/** Reads one of the guest's output sockets, one use after the other. Bytes outside a use break the protocol. */
export function outputReader(socket: Socket): OutputReader {
  let sink: OutputSink | null = null;
  let taken = 0;
  let stray = 0;
  let failure: unknown = null;
  let onProgress = () => {};
  let rejectFailed: (error: unknown) => void = () => {};

  const deliver = async (chunk: Buffer) => {
    if (!sink) {
      stray += chunk.length;
      return;
    }
    socket.pause();
    try {
      await sink(chunk);
      taken += chunk.length;
    } catch (error) {
      failure ??= error;
      rejectFailed(failure);
    }
    onProgress();
    socket.resume();
  };
  socket.on('data', (chunk: Buffer) => void deliver(chunk));
  socket.resume(); // an accepted connection was paused, so that it could be handed over unread

  const waitFor = (total: number) =>
    new Promise<void>((resolve, reject) => {
      let last = taken;
      const stop = (settle: () => void) => {
        clearInterval(timer);
        onProgress = () => {};
        sink = null;
        settle();
      };
      const check = () => {
        if (failure) stop(() => reject(failure));
        else if (taken > total) stop(() => reject(guestProtocol('it sent more output than it announced')));
        else if (taken === total) stop(resolve);
      };
      const timer = setInterval(() => {
        // A paused socket waits for our own slow sink: only while the socket is read can the guest be late.
        if (taken === last && !socket.isPaused())
          stop(() => reject(guestProtocol('it sent less output than it announced')));
        last = taken;
      }, missingByteMs);
      onProgress = check;
      check();
    });

  return {
    begin(next) {
      sink = next;
      taken = 0;
      failure = null;
      const { promise: failed, reject } = Promise.withResolvers<never>();
      failed.catch(() => {}); // `until` rejects with it, too
      rejectFailed = reject;
      if (stray > 0) {
        failure = guestProtocol(`it sent ${stray} bytes of output while nothing was running`);
        rejectFailed(failure);
      }
      return { failed, until: waitFor };
    },
  };
}
