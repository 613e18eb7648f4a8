import { hasEnded, type JobRecord } from '@fumehood/protocol';
import { jobTopic } from '../db/topics.ts';
import { readEvents, type StoredEvent } from '../logs/sql/events.ts';
import { currentRecord } from '../queue/record.ts';
import type { RouteDeps } from './deps.ts';

/** Events that are read at once. */
const batchSize = 16;

/** Something that a follower of a job learns. */
export type Followed =
  | { readonly type: 'event'; readonly event: StoredEvent }
  /** The job waits, for another reason than before. It is no event of the job: a follower cannot resume after it. */
  | { readonly type: 'waiting'; readonly job: JobRecord }
  /** All events so far have been yielded. Repeated about once a second while nothing happens. */
  | { readonly type: 'silence' };

/**
 * Yields the events of a job after `after`, past and new ones, until the job has ended or `gone` is aborted. With `tail`, those with
 * output that ended before the last so many bytes of its stream are left out.
 */
export async function* followJob(
  { db, health, wakes }: Pick<RouteDeps, 'db' | 'health' | 'wakes'>,
  id: number,
  after: number,
  gone: AbortSignal,
  tail?: number,
): AsyncGenerator<Followed> {
  const subscription = wakes.subscribe(jobTopic(id));
  try {
    let seq = after;
    let sentWaiting = '';
    while (!gone.aborted) {
      const events = await readEvents(db, id, seq, batchSize, tail);
      for (const event of events) {
        yield { type: 'event', event };
        seq = event.seq;
        if (event.body?.type === 'job' && hasEnded(event.body.job.state)) return;
      }
      if (events.length === batchSize) continue;
      // The reason to wait changes with the executors.
      const job = await currentRecord({ db, health }, id);
      const waiting = JSON.stringify(job.waiting);
      if (job.waiting !== null && waiting !== sentWaiting) yield { type: 'waiting', job };
      sentWaiting = waiting;
      // The reader resumes after the job's last event.
      if (hasEnded(job.state) && (await readEvents(db, id, seq, 1, tail)).length === 0) return;
      yield { type: 'silence' };
      await subscription.next(1_000, gone);
    }
  } finally {
    subscription.close();
  }
}
