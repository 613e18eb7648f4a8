import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { guestProtocol } from '../errors.ts';

/** How long a promised byte may take after the guest has said that it was written, ms. */
const missingByteMs = 5_000;

/** One use of an output stream: from now until a promised number of bytes. */
export interface Taking {
  /** Rejects as soon as the bytes cannot be taken, with the sink's error. */
  readonly failed: Promise<never>;
  /** Resolves when exactly `total` bytes were taken. Errors: `guest_protocol` for one too many or a missing one. */
  until(total: number): Promise<void>;
}

export interface OutputReader {
  /** Takes the bytes from now on; the socket is read only as fast as `sink` resolves. */
  begin(sink: (chunk: Buffer) => void | Promise<void>): Taking;
}

/** Reads one of the guest's output sockets, in uses that follow each other. Bytes outside a use break the protocol. */
export function countingReader(socket: Socket): OutputReader {
  let sink: ((chunk: Buffer) => void | Promise<void>) | null = null;
  let taken = 0;
  let stray = 0;
  let failure: unknown = null;
  let notify = () => {};
  let tellFailed: (error: unknown) => void = () => {};

  const pump = async (chunk: Buffer) => {
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
      tellFailed(failure);
    }
    notify();
    socket.resume();
  };
  socket.on('data', (chunk: Buffer) => void pump(chunk));

  return {
    begin(next) {
      sink = next;
      taken = 0;
      failure = null;
      const { promise: failed, reject } = Promise.withResolvers<never>();
      failed.catch(() => {}); // `until` tells it, too
      tellFailed = reject;
      if (stray > 0) {
        failure = guestProtocol(`${stray} bytes of output from nowhere`);
        tellFailed(failure);
      }
      return {
        failed,
        until: (total) =>
          new Promise<void>((resolve, reject) => {
            let last = taken;
            const stop = (end: () => void) => {
              clearInterval(timer);
              notify = () => {};
              sink = null;
              end();
            };
            const check = () => {
              if (failure) stop(() => reject(failure));
              else if (taken > total) stop(() => reject(guestProtocol('more output than it promised')));
              else if (taken === total) stop(resolve);
            };
            const timer = setInterval(() => {
              // A slow sink is ours, not the guest's: only a socket that we are reading can miss a byte.
              if (taken === last && !socket.isPaused())
                stop(() => reject(guestProtocol('less output than it promised')));
              last = taken;
            }, missingByteMs);
            notify = check;
            check();
          }),
      };
    },
  };
}

/** A step's stdin on its way. */
export interface Feeding {
  /** Rejects with the source's error: the program must not take what came before it for all that there is. */
  readonly failed: Promise<never>;
  /** Ends it early (the step is over): what was already written is announced, so that the guest can swallow it. */
  stop(): Promise<void>;
}

/** Feeds a step's stdin and tells its end. */
export function feedStdin(
  socket: Socket,
  source: Readable | null,
  announce: (total: number) => void,
): Feeding {
  let written = 0;
  let stopped = false;
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {}); // whoever waits on it sees it
  const feed = async () => {
    try {
      for await (const chunk of source ?? []) {
        if (stopped) break;
        const bytes = Buffer.from(chunk as Uint8Array);
        written += bytes.length;
        if (!socket.write(bytes)) await drained(socket);
      }
    } catch (error) {
      reject(error);
      if (!stopped) return;
    }
    announce(written);
  };
  const done = feed();
  return {
    failed,
    async stop() {
      stopped = true;
      source?.destroy();
      await done;
    },
  };
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      socket.off('drain', end).off('close', end);
      resolve();
    };
    socket.on('drain', end).on('close', end);
  });
}
