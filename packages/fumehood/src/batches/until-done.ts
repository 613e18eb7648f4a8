import type { Clock } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { BatchChangeRecord } from '@fumehood/protocol';
import { countsOf } from './lines.ts';

/** Pause between two looks at a batch change, milliseconds. */
const pauseMs = 2_000;

/** What a batch change is followed with. */
interface Following {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called with the counts of changesets when they have changed, and once at the beginning. */
  readonly onProgress: (line: string) => void;
}

/**
 * Waits until the instance has nothing to do with the changesets of a batch change any more, or its waves have stopped, or the signal is aborted.
 * Returns its last record.
 */
export async function untilDone(
  { batches }: Pick<Client, 'batches'>,
  id: string,
  { clock, signal, onProgress }: Following,
): Promise<BatchChangeRecord> {
  let told = '';
  for (;;) {
    const now = await batches.batchChange(id);
    const counts = countsOf(now.changesets);
    if (counts !== told) onProgress(`changesets: ${counts}`);
    told = counts;
    const { scheduled = 0, processing = 0, retrying = 0 } = now.changesets;
    if (scheduled + processing + retrying === 0 || now.wavesStopped !== null || signal.aborted) return now;
    await clock.sleep(pauseMs, signal).catch(() => {});
  }
}
