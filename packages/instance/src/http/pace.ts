import type { RequestLimits } from './limits.ts';

/** How long a peer has been waited for. Time in which the peer waits for the instance does not count. */
export interface Pace {
  /** The peer has moved bytes. */
  moved(bytes: number): void;
  stop(): void;
}

/**
 * Watches a peer that sends or reads bytes, and calls `onSlow` once when it stalls, falls below the least rate, or takes longer than
 * `totalMs`. `isOurTurn` says whether the peer waits for the instance now.
 */
export function watchPace(
  { stallMs, bytesPerSecond }: Pick<RequestLimits, 'stallMs' | 'bytesPerSecond'>,
  totalMs: number,
  isOurTurn: () => boolean,
  onSlow: () => void,
): Pace {
  const tickMs = Math.min(1_000, stallMs / 4);
  let totalWaited = 0;
  let waited = 0;
  let elapsed = 0;
  let moved = 0;
  // Ticks are counted instead of a clock: one that comes late, because this process was busy, is not held against the peer.
  const timer = setInterval(() => {
    elapsed += tickMs;
    if (!isOurTurn()) {
      waited += tickMs;
      totalWaited += tickMs;
    }
    const allowed = stallMs + (moved / bytesPerSecond) * 1_000;
    if (waited <= stallMs && totalWaited <= allowed && elapsed <= totalMs) return;
    clearInterval(timer);
    onSlow();
  }, tickMs);
  return {
    moved(bytes) {
      moved += bytes;
      waited = 0;
    },
    stop: () => clearInterval(timer),
  };
}

/** Yields what git sends, and calls `onSlow` when its reader does not keep pace: git runs until everything is read. */
export async function* readAtPace(
  body: AsyncIterable<Buffer>,
  limits: RequestLimits,
  onSlow: () => void,
): AsyncGenerator<Buffer> {
  let gitWorks = true;
  const pace = watchPace(limits, limits.bodyMs.file, () => gitWorks, onSlow);
  try {
    for await (const chunk of body) {
      gitWorks = false;
      yield chunk;
      pace.moved(chunk.length);
      gitWorks = true;
    }
  } finally {
    pace.stop();
  }
}
