import { formatBytes } from '../state/usage.ts';

/** How long nothing is said, and the time between two lines, ms. */
const patienceMs = 1_000;
const pauseMs = 5_000;

/** Returns a function that is called with the bytes so far, and writes a line for people after a second and then every 5 s. */
export function byteLines(
  what: string,
  note: (line: string) => void,
  totalBytes?: number,
): (bytes: number) => void {
  let nextAt = performance.now() + patienceMs;
  const total = totalBytes === undefined ? '' : ` of ${formatBytes(totalBytes)}`;
  return (bytes) => {
    const now = performance.now();
    if (now < nextAt) return;
    nextAt = now + pauseMs;
    note(`${what} ${formatBytes(bytes)}${total}`);
  };
}
