import { formatBytes } from '../state/usage.ts';

/** How much of an archive has arrived. */
export interface Fetched {
  readonly from: string;
  readonly receivedBytes: number;
  /** Null if the server does not say it. */
  readonly totalBytes: number | null;
}

/** Least time between two reports, ms. A person needs fewer lines than a program. */
const pauseMs = { program: 1_000, person: 5_000 };

/** Returns a function that passes on the first report, and then at most one per second. */
export function atMostEachSecond(report: (fetched: Fetched) => void): (fetched: Fetched) => void {
  let reportedAt = -Infinity;
  return (fetched) => {
    const now = performance.now();
    if (now - reportedAt < pauseMs.program && fetched.receivedBytes !== fetched.totalBytes) return;
    reportedAt = now;
    report(fetched);
  };
}

/** Returns a reporter that writes lines for a person: one at the start, then one every 5 s. */
export function fetchLines(note: (line: string) => void): (fetched: Fetched) => void {
  let notedAt = 0;
  return ({ from, receivedBytes, totalBytes }) => {
    const now = performance.now();
    const total = totalBytes === null ? '' : ` of ${formatBytes(totalBytes)}`;
    if (receivedBytes === 0) note(`fetching ${from}`);
    else if (now - notedAt > pauseMs.person) note(`received ${formatBytes(receivedBytes)}${total}`);
    else return;
    notedAt = now;
  };
}
