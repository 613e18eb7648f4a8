import type { Readable } from 'node:stream';
import {
  type Client,
  type Execution,
  executeJob,
  type FailedPhase,
  failedPhaseLines,
  isStep,
} from '@fumehood/client';
import type { JobRecord } from '@fumehood/protocol';
import { interruptedCode, watchInterrupts } from './interrupt.ts';

/** A command of the user, which the signals of the terminal end. */
export interface RunRequest extends Omit<Execution, 'signal'> {
  readonly stdin: Readable | null;
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
  const { stdin, note } = request;
  const interrupts = watchInterrupts(() =>
    note('stopping the job; press Ctrl-C again to exit without waiting'),
  );
  try {
    const executed = await executeJob(client, { ...request, signal: interrupts.signal });
    const { job, cannotRun, failedPhases, isIncomplete } = executed;
    if (cannotRun) {
      note(`the job waits: ${cannotRun.message}`, `  ${cannotRun.remedy}`);
      return { job, code: cannotRunCode };
    }
    if (interrupts.signal.aborted) return { job, code: interruptedCode };
    const code = exitCodeOf(job, failedPhases, note);
    return { job, code: code === 0 && isIncomplete ? incompleteCode : code };
  } finally {
    interrupts.release();
    stdin?.destroy();
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
