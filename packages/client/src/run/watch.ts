import { hasEnded, type JobRecord, type LogEntry } from '@fumehood/protocol';
import type { Client } from '../client.ts';
import type { WantedEvents } from '../events.ts';
import { type FailedPhase, phaseEnds } from './phase-ends.ts';

/** Callbacks for the events of a job. */
export interface Watcher {
  /** Called once when a phase begins and once when it ends, with `durationMs` set. */
  onPhase?(entry: LogEntry): void;
  /** Called when a phase has failed, after `onPhase`. */
  onFailedPhase?(failed: FailedPhase): void;
  /** Called for each part of the output; the next event waits until the returned promise resolves. */
  onOutput?(entry: LogEntry, stream: 'stdout' | 'stderr', bytes: Buffer): void | Promise<void>;
  /** Called for each change of the job's record. */
  onJob?(job: JobRecord): void;
}

/**
 * Follows the wanted events of a job through all its attempts, by default until it ends. Returns its last record.
 * Errors: those of the client.
 */
export async function watchJob(
  client: Client,
  id: number,
  watcher: Watcher,
  wanted: WantedEvents = {},
): Promise<JobRecord> {
  const entries = new Map<string, LogEntry>();
  const ends = phaseEnds();
  let last: JobRecord | null = null;
  for await (const event of client.events(id, wanted)) {
    if (event.type === 'job') {
      last = event.job;
      watcher.onJob?.(event.job);
    } else if (event.type === 'entry') {
      entries.set(`${event.entry.attempt}.${event.entry.entry}`, event.entry);
      watcher.onPhase?.(event.entry);
      const failed = ends.failed(event.entry);
      if (failed) watcher.onFailedPhase?.(failed);
    } else {
      const entry = entries.get(`${event.attempt}.${event.entry}`);
      if (!entry) continue;
      const bytes = Buffer.from(event.data, 'base64');
      ends.add(entry, bytes);
      await watcher.onOutput?.(entry, event.stream, bytes);
    }
  }
  return last && hasEnded(last.state) ? last : client.job(id);
}
