import { formatBytes } from '../state/usage.ts';

/** How much of an image or a directory the instance has. */
export interface SendProgress {
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
  report: (progress: SendProgress) => void,
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

/**
 * Returns a reporter that writes lines for a person: one at the start, unless all is sent within `quietMs`, then one every 5 s.
 */
export function progressLines(
  note: (line: string) => void,
  what: 'image' | 'directory' = 'image',
  quietMs = 0,
): (progress: SendProgress) => void {
  let notedAt = 0;
  let startedAt = 0;
  return ({ sentBytes, totalBytes }) => {
    const now = performance.now();
    if (sentBytes === 0) startedAt = now;
    if (now - startedAt < quietMs) return;
    if (notedAt === 0) note(`sending the ${what} (${formatBytes(totalBytes)})`);
    else if (now - notedAt > pauseMs.person)
      note(`sent ${formatBytes(sentBytes)} of ${formatBytes(totalBytes)}`);
    else return;
    notedAt = now;
  };
}
