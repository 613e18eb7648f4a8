import type { Clock } from '@fumehood/base';
import type { EntryFacts, JobClient, OutputStream } from './job.ts';
import { redact, redactor } from './redact.ts';
import { wholeTextPhase } from './whole-log.ts';

/** A phase of a job as the instance shows it: begun when it is made, its output appended as it comes. */
export interface PhaseLog {
  /** Resolves when there is room for more: whoever writes waits for it. Errors: those of the uplink. */
  write(stream: OutputStream, chunk: Uint8Array): Promise<void>;
  /** Sends what is left, then the end. */
  end(exitCode: number): Promise<void>;
}

/** Output is sent at once when nothing was sent lately, else gathered this long. */
const gatherMs = 50;
const batchBytes = 65_536;
/** How much may wait for the instance before the guest has to. */
const waitingMax = 4 * batchBytes;

/** Nothing of it holds a value that the job wants hidden. */
export async function openPhase(
  client: JobClient,
  clock: Clock,
  key: string,
  command: readonly string[],
): Promise<PhaseLog> {
  const { redactions } = client;
  const started = clock.bootTime();
  const facts: EntryFacts = {
    key,
    command: command.map((argument) => redact(argument, redactions)),
    startTime: new Date(clock.now()).toISOString(),
  };
  const entry = await client.addEntry(facts);
  const log = client.native
    ? appendedPhase(client, clock, started, entry, facts)
    : wholeTextPhase(clock, started, (state) => client.updateEntry(entry, facts, state));
  const redactors = { stdout: redactor(redactions), stderr: redactor(redactions) };
  return {
    write: (stream, chunk) => log.write(stream, redactors[stream].write(chunk)),
    async end(exitCode) {
      await log.write('stdout', redactors.stdout.end());
      await log.write('stderr', redactors.stderr.end());
      await log.end(exitCode);
    },
  };
}

function appendedPhase(
  client: JobClient,
  clock: Clock,
  started: number,
  entry: number,
  facts: EntryFacts,
): PhaseLog {
  const send = (stream: OutputStream) =>
    appender(clock, (offset, bytes) => client.append(entry, stream, offset, bytes));
  const streams = { stdout: send('stdout'), stderr: send('stderr') };
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
  write(chunk: Uint8Array): Promise<void>;
  drained(): Promise<void>;
}

/** Sends a stream in batches, one after the other, each byte by its offset. Holds no more than `waitingMax` and a chunk. */
export function appender(
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
  const start = () => {
    sending ??= sendAll()
      .catch((error: unknown) => {
        failure = { error };
        batchDone.resolve();
      })
      .finally(() => {
        sending = null;
      });
  };
  const room = async (): Promise<void> => {
    if (failure) throw failure.error;
    if (waitingBytes <= waitingMax) return;
    await batchDone.promise;
    await room();
  };
  return {
    async write(chunk) {
      if (failure) throw failure.error;
      if (chunk.length === 0) return;
      waiting.push(chunk);
      waitingBytes += chunk.length;
      start();
      await room();
    },
    async drained() {
      await sending;
      if (failure) throw failure.error;
    },
  };
}
