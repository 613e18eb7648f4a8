import type { Clock } from '@fumehood/base';
import type { EntryText, OutputStream, PhaseLog } from './log-entry.ts';

/** The shortest time between two updates, in ms. Each update carries the whole text. */
const updateEveryMs = 1_000;
/** Characters of the beginning of a long text that are kept. */
const headMax = 500_000;
/** Characters of the end of a long text that are kept at least; up to twice as many are. */
const tailMax = 500_000;
/** Bytes after which a line is cut in two. */
const lineMax = 65_536;

/**
 * A phase log for an instance that does not take output by offset: `update` sends the whole text again, at most once a second,
 * each line with the name of its stream. `update` retries while the instance is unreachable, so its first rejection is final.
 */
export function upstreamPhaseLog(
  clock: Clock,
  started: number,
  update: (text: EntryText) => Promise<void>,
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
    // Cleared before this promise resolves: a write between the two would not start another send.
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

/** Collects a text, and drops its middle when it gets long. */
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

/** Splits a stream into lines. Holds at most one unfinished line, of `lineMax` bytes. */
function lineReader(onLine: (line: string) => void) {
  let rest: Buffer = Buffer.alloc(0);
  // PostgreSQL stores no NUL in a text.
  const emit = (line: Buffer) => onLine(line.toString('utf8').replaceAll('\0', '\ufffd'));
  return {
    add(chunk: Uint8Array) {
      rest = Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
        emit(rest.subarray(start, end));
        start = end + 1;
      }
      for (; rest.length - start > lineMax; start += lineMax) emit(rest.subarray(start, start + lineMax));
      rest = rest.subarray(start);
    },
    end() {
      if (rest.length > 0) emit(rest);
      rest = Buffer.alloc(0);
    },
  };
}
