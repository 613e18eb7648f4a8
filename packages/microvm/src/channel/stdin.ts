import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** A step's stdin while it is sent. */
export interface StdinFeed {
  /** Rejects with the source's error. The end is not announced then: the program must not take a part for the whole. */
  readonly failed: Promise<never>;
  /** Stops sending because the step is over, and announces what was written, so that init can discard it. */
  stop(): Promise<void>;
}

/** Sends a step's stdin and announces the total number of bytes at its end. */
export function feedStdin(
  socket: Socket,
  source: Readable | null,
  announce: (total: number) => void,
): StdinFeed {
  let written = 0;
  let stopped = false;
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {}); // callers that wait for it get the error
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

/** Resolves when the socket takes more bytes or is closed. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      socket.off('drain', settle).off('close', settle);
      resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}
