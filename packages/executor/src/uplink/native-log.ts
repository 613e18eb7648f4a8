import type { Clock } from '@fumehood/base';
import type { JobClient } from './job-client.ts';
import type { EntryFacts, OutputStream, PhaseLog } from './log-entry.ts';

/** How long output is gathered into a batch, in ms. Output after a pause of this length is sent at once. */
const gatherMs = 50;
/** A batch of this many bytes is sent without gathering more. */
const batchBytes = 65_536;
/** Bytes of one stream that may wait to be sent. A writer who exceeds them waits, and so does the guest. */
const waitingMax = 4 * batchBytes;

/** A phase log for a native instance: each byte of output is appended once, at its offset. */
export function nativePhaseLog(
  client: Pick<JobClient, 'append' | 'updateEntry'>,
  clock: Clock,
  started: number,
  entry: number,
  facts: EntryFacts,
): PhaseLog {
  const open = (stream: OutputStream) =>
    openAppender(clock, (offset, bytes) => client.append(entry, stream, offset, bytes));
  const streams = { stdout: open('stdout'), stderr: open('stderr') };
  return {
    write: (stream, chunk) => streams[stream].write(chunk),
    async end(exitCode) {
      const durationMs = clock.bootTime() - started;
      await streams.stdout.drained();
      await streams.stderr.drained();
      await client.updateEntry(entry, facts, { exitCode, durationMs });
    },
  };
}

interface Appender {
  /** Resolves when no more than `waitingMax` bytes wait. Rejects with the error of a failed `append`. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when everything written has been appended. Rejects with the error of a failed `append`. */
  drained(): Promise<void>;
}

/**
 * Batches the output of one stream: one batch is under way at a time, and the next one gathers meanwhile. After `append` has
 * rejected, nothing more is sent.
 */
export function openAppender(
  clock: Clock,
  append: (offset: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
): Appender {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let offset = 0;
  let lastSent = Number.NEGATIVE_INFINITY;
  let sending: Promise<void> | null = null;
  let failure: { error: unknown } | null = null;
  let batchDone = Promise.withResolvers<void>();

  const sendAll = async () => {
    while (waitingBytes > 0) {
      const pause = lastSent + gatherMs - clock.bootTime();
      if (pause > 0 && waitingBytes < batchBytes) await clock.sleep(pause);
      const batch = Buffer.concat(waiting);
      waiting = [];
      waitingBytes = 0;
      lastSent = clock.bootTime();
      await append(offset, batch);
      offset += batch.length;
      batchDone.resolve();
      batchDone = Promise.withResolvers();
    }
  };
  const startSending = () => {
    sending ??= sendAll()
      .catch((error: unknown) => {
        failure = { error };
        batchDone.resolve();
      })
      .finally(() => {
        sending = null;
      });
  };
  const hasRoom = async (): Promise<void> => {
    if (failure) throw failure.error;
    if (waitingBytes <= waitingMax) return;
    await batchDone.promise;
    await hasRoom();
  };
  return {
    async write(chunk) {
      if (failure) throw failure.error;
      if (chunk.length === 0) return;
      waiting.push(chunk);
      waitingBytes += chunk.length;
      startSending();
      await hasRoom();
    },
    async drained() {
      await sending;
      if (failure) throw failure.error;
    },
  };
}
