import type { Client } from '@fumehood/client';
import { hasEnded, type JobRecord, type LogEntry } from '@fumehood/protocol';

/** What to do with a job's events as they come. */
export interface Watcher {
  /** A phase began or ended (`durationMs` is set). Once each. */
  onPhase?(entry: LogEntry): void;
  onOutput?(entry: LogEntry, stream: 'stdout' | 'stderr', bytes: Buffer): void | Promise<void>;
  /** Every change of the job itself. */
  onJob?(job: JobRecord): void;
}

/**
 * Follows a job to its end and returns its last record. An attempt that was lost is followed by the next one's phases.
 * Errors: those of the client.
 */
export async function watchJob(
  client: Client,
  id: number,
  watcher: Watcher,
  signal?: AbortSignal,
): Promise<JobRecord> {
  const entries = new Map<string, LogEntry>();
  let last: JobRecord | null = null;
  for await (const event of client.events(id, signal ? { signal } : {})) {
    if (event.type === 'job') {
      last = event.job;
      watcher.onJob?.(event.job);
    } else if (event.type === 'entry') {
      entries.set(`${event.entry.attempt}.${event.entry.entry}`, event.entry);
      watcher.onPhase?.(event.entry);
    } else {
      const entry = entries.get(`${event.attempt}.${event.entry}`);
      if (entry) await watcher.onOutput?.(entry, event.stream, Buffer.from(event.data, 'base64'));
    }
  }
  return last && hasEnded(last.state) ? last : client.job(id);
}
