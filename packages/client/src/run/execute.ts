import { factsOf } from '@fumehood/base';
import type { CreateJob, JobRecord } from '@fumehood/protocol';
import type { Client } from '../client.ts';
import { fetchProgress } from './fetch-progress.ts';
import { droppedLine, type FailedPhase, isStep } from './phase-ends.ts';
import { watchJob } from './watch.ts';

/** A command that is executed as a job. */
export interface Execution {
  readonly job: CreateJob & { queue: 'runs' };
  readonly stdin: AsyncIterable<Uint8Array> | null;
  /** Gets the output of the command; the next part waits until the returned promise resolves. When it rejects, the job is canceled. */
  readonly output: (stream: 'stdout' | 'stderr', bytes: Buffer) => Promise<void> | void;
  /** Cancels the job when it is aborted, and waits until its VM is gone. */
  readonly signal: AbortSignal;
  /** Gets lines for people. */
  readonly note: (...lines: string[]) => void;
}

/** How an execution ended. */
export interface Executed {
  readonly job: JobRecord;
  /** Why no connected executor could run the job, which was canceled for that. */
  readonly cannotRun: JobRecord['waiting'];
  readonly failedPhases: readonly FailedPhase[];
  /** The instance dropped a part of the output. */
  readonly isIncomplete: boolean;
}

/**
 * Creates a job, forwards stdin to it, passes on the output of its command, and returns how it ended. Cancels a job that no connected
 * executor can run. Errors: that of `output`, after the job was canceled, and those of the client.
 */
export async function executeJob(client: Client, execution: Execution): Promise<Executed> {
  const { output, stdin, signal, note } = execution;
  const { id } = await client.createJob(execution.job);
  const cancel = async () => {
    try {
      await client.cancel(id);
    } catch (error) {
      note(`the job was not canceled: ${factsOf(error).message}`);
    }
  };
  const onAbort = () => void cancel();
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  let cannotRun: JobRecord['waiting'] = null;
  let attempt = 0;
  let isIncomplete = false;
  const failedPhases: FailedPhase[] = [];
  const onFetch = fetchProgress(note);
  const stopInput = stdin && forwardStdin(client, id, stdin, note);
  try {
    const job = await watchJob(client, id, {
      onJob(record) {
        if (record.waiting && !cannotRun) {
          cannotRun = record.waiting;
          void cancel();
        }
        if (record.attempt > 1 && record.attempt > attempt && record.state === 'processing')
          note(`attempt ${record.attempt} begins: the one before did not complete the job`);
        attempt = record.attempt;
      },
      onPhase(entry) {
        const dropped = isStep(entry) ? droppedLine(entry) : null;
        if (dropped === null) return;
        isIncomplete = true;
        note(dropped);
      },
      onFailedPhase: (failed) => void failedPhases.push(failed),
      async onOutput(entry, stream, bytes) {
        if (!isStep(entry)) return onFetch(entry, bytes);
        try {
          await output(stream, bytes);
        } catch (error) {
          await cancel();
          throw error;
        }
      },
    });
    return { job, cannotRun: job.state === 'canceled' ? cannotRun : null, failedPhases, isIncomplete };
  } finally {
    signal.removeEventListener('abort', onAbort);
    stopInput?.();
  }
}

/** Forwards stdin and its end to the job. That the job ended before it read everything is not an error. Returns what ends it. */
function forwardStdin(
  client: Client,
  id: number,
  stdin: AsyncIterable<Uint8Array>,
  note: (line: string) => void,
): () => void {
  const stopping = new AbortController();
  client.sendInput(id, stdin, stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted && factsOf(error).code !== 'job_ended')
      note(`stdin was not forwarded: ${factsOf(error).message}`);
  });
  return () => stopping.abort();
}
