import { afterTransition, hasEnded, type JobTransition } from '@glovebox/protocol';
import { type Db, wake } from '../db/connect.ts';
import { appendEvent } from '../logs/sql/events.ts';
import { type JobRow, type JobWithAttempt, lifeOf, recordOf } from './job.ts';
import type { QueueKinds } from './kind.ts';
import { endAttempt } from './sql/attempt.ts';
import { readJob } from './sql/read.ts';
import { type Failure, saveLife } from './sql/save.ts';

/** Topic of everybody who waits for work. */
export const workTopic = 'queue';

/**
 * Moves a job, whose row the transaction holds, as the lifecycle's table says; false where it refuses. What follows from the
 * move (attempt, event, end) is stored with it.
 */
export async function moveJob(
  tx: Db,
  kinds: QueueKinds,
  job: JobRow,
  transition: JobTransition,
  failure: Failure | null,
): Promise<boolean> {
  const next = afterTransition(lifeOf(job), transition);
  if (!next) return false;
  const cause = next.state === 'canceled' ? canceled : failure;
  // A job that waits again has not failed; why its attempt ended stays with the attempt.
  const shown = next.state === 'queued' || next.state === 'processing' ? null : cause;
  await saveLife(tx, job.id, next, shown);
  if (next.state === 'processing') {
    // A cancel that the executor has yet to hear of: nothing to show.
    return true;
  }
  if (job.state === 'processing')
    await endAttempt(tx, job, transition === 'expire' ? 'lost' : next.state, cause);
  if (hasEnded(next.state)) await kinds.get(job.queue)?.ended(tx, { ...job, state: next.state });
  else await wake(tx, workTopic);
  await appendJobEvent(tx, job.id);
  return true;
}

const canceled: Failure = { reason: 'canceled', message: 'the job was canceled' };

/** The job as it is now, as an event. */
export async function appendJobEvent(tx: Db, id: number): Promise<void> {
  const job = (await readJob(tx, id)) as JobWithAttempt;
  await appendEvent(tx, id, { type: 'job', job: recordOf(job) });
}
