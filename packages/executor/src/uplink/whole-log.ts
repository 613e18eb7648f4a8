import type { Clock } from '@fumehood/base';
import type { OutputStream } from './job.ts';
import type { PhaseLog } from './log.ts';

/** What an update of an entry says of it so far; with `exitCode` it is over. */
export interface EntryState {
  readonly out: string;
  readonly exitCode?: number;
  readonly durationMs?: number;
}

/** Between two updates: each of them is the whole text. */
const updateEveryMs = 1_000;
/** Of a long text so much of its beginning and, at least, of its end is kept, in characters. */
const headMax = 500_000;
const tailMax = 500_000;
/** A longer line is told as several, in bytes. */
const lineMax = 65_536;

/**
 * A phase for an instance that knows no offsets: the text so far is sent anew, at most once a second, each line with the name of
 * its stream. `update` is repeated by itself while the instance is out of reach; what it throws is for good.
 */
export function wholeTextPhase(
  clock: Clock,
  started: number,
  update: (state: EntryState) => Promise<void>,
): PhaseLog {
  const text = excerpt();
  const lines = {
    stdout: lineReader((line) => text.add(`stdout: ${line}\n`)),
    stderr: lineReader((line) => text.add(`stderr: ${line}\n`)),
  };
  const ended = new AbortController();
  let changed = false;
  let lastSent = Number.NEGATIVE_INFINITY;
  let sending: Promise<void> | null = null;
  let failure: { error: unknown } | null = null;

  const sendChanges = async () => {
    while (changed) {
      const pause = lastSent + updateEveryMs - clock.bootTime();
      if (pause > 0) await clock.sleep(pause, ended.signal).catch(() => {});
      if (ended.signal.aborted) break;
      changed = false;
      lastSent = clock.bootTime();
      try {
        await update({ out: text.read() });
      } catch (error) {
        failure = { error };
        break;
      }
    }
    // Here, and not when it has resolved: what is written in between would wait for the next.
    sending = null;
  };
  return {
    async write(stream: OutputStream, chunk: Uint8Array) {
      if (failure) throw failure.error;
      lines[stream].add(chunk);
      changed = true;
      sending ??= sendChanges();
    },
    async end(exitCode) {
      const durationMs = clock.bootTime() - started;
      ended.abort();
      await sending;
      if (failure) throw failure.error;
      lines.stdout.end();
      lines.stderr.end();
      await update({ out: text.read(), exitCode, durationMs });
    },
  };
}

/** Text of which the middle goes when it gets long. */
function excerpt() {
  let head = '';
  let tail = '';
  let full = false;
  let omitted = 0;
  return {
    add(line: string) {
      full ||= head.length + line.length > headMax;
      if (!full) head += line;
      else tail += line;
      if (tail.length <= 2 * tailMax) return;
      const cut = tail.indexOf('\n', tail.length - tailMax) + 1;
      omitted += cut;
      tail = tail.slice(cut);
    },
    read: () => (omitted === 0 ? head + tail : `${head}… ${omitted} characters left out …\n${tail}`),
  };
}

/** Calls back with every line of a stream; never holds more than one of them. */
function lineReader(onLine: (line: string) => void) {
  let rest: Buffer = Buffer.alloc(0);
  // Databases keep no NUL in a text.
  const tell = (line: Buffer) => onLine(line.toString('utf8').replaceAll('\0', '\ufffd'));
  return {
    add(chunk: Uint8Array) {
      rest = Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
        tell(rest.subarray(start, end));
        start = end + 1;
      }
      for (; rest.length - start > lineMax; start += lineMax) tell(rest.subarray(start, start + lineMax));
      rest = rest.subarray(start);
    },
    end() {
      if (rest.length > 0) tell(rest);
      rest = Buffer.alloc(0);
    },
  };
}
