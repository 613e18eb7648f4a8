import { formatBytes } from '../state/usage.ts';

/** How much of an image the instance has. */
export interface ImageProgress {
  readonly digest: string;
  readonly sentBytes: number;
  readonly totalBytes: number;
}

/** Least time between two reports, ms. A person needs fewer lines than a program. */
const pauseMs = { program: 1_000, person: 5_000 };

/** Passes a file on, and reports before its first part, at most once per pause, and after its last part. */
export async function* reporting(
  parts: AsyncIterable<Buffer>,
  facts: { readonly digest: string; readonly totalBytes: number },
  report: (progress: ImageProgress) => void,
): AsyncGenerator<Buffer> {
  let sentBytes = 0;
  let reportedAt = performance.now();
  report({ ...facts, sentBytes });
  for await (const part of parts) {
    yield part;
    sentBytes += part.length;
    if (sentBytes < facts.totalBytes && performance.now() - reportedAt < pauseMs.program) continue;
    reportedAt = performance.now();
    report({ ...facts, sentBytes });
  }
}

/** Returns a reporter that writes lines for a person: one at the start, then one every 5 s. */
export function progressLines(note: (line: string) => void): (progress: ImageProgress) => void {
  let notedAt = 0;
  return ({ sentBytes, totalBytes }) => {
    const now = performance.now();
    if (sentBytes === 0) note(`sending the image (${formatBytes(totalBytes)})`);
    else if (now - notedAt > pauseMs.person)
      note(`sent ${formatBytes(sentBytes)} of ${formatBytes(totalBytes)}`);
    else return;
    notedAt = now;
  };
}
