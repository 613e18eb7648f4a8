import type { Readable } from 'node:stream';
import { factsOf } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { CreateJob, JobRecord } from '@fumehood/protocol';
import { interruptedCode, watchInterrupts } from './interrupt.ts';
import { droppedLine, type FailedPhase, failedPhaseLines, isStep } from './phase-ends.ts';
import { watchJob } from './watch.ts';

export interface RunRequest {
  readonly job: CreateJob & { queue: 'runs' };
  readonly stdin: Readable | null;
  /** Gets the output of the command; the next part waits until the returned promise resolves. When it rejects, the job is canceled. */
  readonly output: (stream: 'stdout' | 'stderr', bytes: Buffer) => Promise<void> | void;
  /** Reports lines to the user. */
  readonly note: (...lines: string[]) => void;
}

/** Exit code when no connected executor can run the job. */
const cannotRunCode = 3;
/** Exit code when the command succeeded but a part of its output is missing, or of what the job brings back. */
export const incompleteCode = 4;
/** Exit codes for a job that a limit stopped, as `timeout` and shells have them. */
const failureCodes: Readonly<Record<string, number>> = { deadline: 124, memory: 137 };
const otherFailure = 125;

/**
 * Runs a command as a job, forwards stdin to it and streams its output. Returns the job and the exit code for this process: that
 * of the command, or 3 if no connected executor can run the job, 4 if it succeeded but a part of its output was dropped, 124
 * past the deadline, 130 if interrupted, 137 out of memory, 125 if the job failed for another reason. Errors: that of `output`,
 * after the job was canceled, and those of the client.
 */
export async function runCommand(
  client: Client,
  request: RunRequest,
): Promise<{ readonly job: JobRecord; readonly code: number }> {
  const { output, stdin, note } = request;
  const created = Promise.withResolvers<number>();
  const cancel = async () => {
    try {
      await client.cancel(await created.promise);
    } catch (error) {
      note(`the job was not canceled: ${factsOf(error).message}`);
    }
  };
  const interrupts = watchInterrupts(() => {
    note('stopping the job; press Ctrl-C again to exit without waiting');
    void cancel();
  });
  const { id } = await client.createJob(request.job);
  created.resolve(id);
  let cannotRun = false;
  let attempt = 0;
  let isIncomplete = false;
  const failedPhases: FailedPhase[] = [];
  const input = stdin && forwardStdin(client, id, stdin, note);
  try {
    const job = await watchJob(client, id, {
      onJob(record) {
        if (record.waiting && !cannotRun) {
          cannotRun = true;
          note(`the job waits: ${record.waiting.message}`, `  ${record.waiting.remedy}`);
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
        if (!isStep(entry)) return;
        try {
          await output(stream, bytes);
        } catch (error) {
          await cancel();
          throw error;
        }
      },
    });
    if (cannotRun && job.state === 'canceled') return { job, code: cannotRunCode };
    if (interrupts.signal.aborted) return { job, code: interruptedCode };
    const code = exitCodeOf(job, failedPhases, note);
    return { job, code: code === 0 && isIncomplete ? incompleteCode : code };
  } finally {
    interrupts.release();
    input?.stop();
  }
}

/** Returns the exit code for a job that was not interrupted, and notes a failure that is not the command's own. */
function exitCodeOf(
  job: JobRecord,
  failedPhases: readonly FailedPhase[],
  note: (line: string) => void,
): number {
  if (job.state === 'completed') return job.exitCode ?? 0;
  // A command that failed has explained itself on stderr.
  if (job.failure?.reason === 'step_failed' && job.exitCode !== null) return job.exitCode;
  const ownPhases = failedPhases.filter((failed) => failed.attempt === job.attempt && !isStep(failed));
  for (const failed of ownPhases) for (const line of failedPhaseLines(failed)) note(line);
  for (const line of (job.failure?.message ?? `the job is ${job.state}`).split('\n')) note(line);
  if (job.failure?.reason === 'step_not_started') return job.exitCode ?? 127;
  return failureCodes[job.failure?.reason ?? ''] ?? otherFailure;
}

/** Forwards stdin and its end to the job. That the job ended before it read everything is not an error. */
function forwardStdin(
  client: Client,
  id: number,
  stdin: Readable,
  note: (line: string) => void,
): { stop(): void } {
  const stopping = new AbortController();
  client.sendInput(id, stdin, stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted && factsOf(error).code !== 'job_ended')
      note(`stdin was not forwarded: ${factsOf(error).message}`);
  });
  return {
    stop() {
      stopping.abort();
      stdin.destroy();
    },
  };
}
