import type { LogEntry } from '@fumehood/protocol';

/** Least time between two lines for a person, ms. */
const pauseMs = 5_000;
/** A line of the executor about how far the fetch of an image is, such as `fetching debian:12: 12.3 of 40.1 MB`. */
const progressLine = /^fetching \S{1,600}: \d{1,9}\.\d of \d{1,9}\.\d MB$/;
/** Longest line that is looked at, characters. */
const lineMax = 1_000;

/** Takes the output of a job's phases, and reports how far the executor is with fetching an image: at most one line every 5 s. */
export function fetchProgress(
  report: (line: string) => void,
): (entry: Pick<LogEntry, 'key'>, bytes: Buffer) => void {
  let rest = '';
  let reportedAt = Number.NEGATIVE_INFINITY;
  return ({ key }, bytes) => {
    if (key !== 'setup.image') return;
    const lines = `${rest}${bytes.toString()}`.split('\n');
    rest = lines.pop()?.slice(-lineMax) ?? '';
    const last = lines.findLast((line) => progressLine.test(line));
    const now = performance.now();
    if (last === undefined || now - reportedAt < pauseMs) return;
    reportedAt = now;
    report(last);
  };
}
