import type { Readable, Writable } from 'node:stream';
import { factsOf } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { CreateJob, JobRecord } from '@fumehood/protocol';
import { interruptedCode, watchInterrupts } from './interrupt.ts';
import { watchJob } from './watch.ts';
import { write } from './write.ts';

export interface RunRequest {
  readonly job: CreateJob & { queue: 'runs' };
  readonly stdin: Readable | null;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Words for a person. */
  readonly note: (line: string) => void;
}

/** Exit codes of our own, as against those of the command. */
const waitsCode = 3;
/** As of shells: a command that could not be run, and what was killed by a limit. */
const failureCodes: Readonly<Record<string, number>> = { deadline: 124, memory: 137 };
const otherFailure = 125;

/**
 * Runs one command as a job, its output streamed, its stdin passed on. Returns the job and the exit code for this process: the
 * command's own; 3 when nothing connected could ever run it, 130 when interrupted, 124 past its deadline, 137 over its
 * memory, 125 when it could not be run.
 */
export async function runCommand(
  client: Client,
  request: RunRequest,
): Promise<{ readonly job: JobRecord; readonly code: number }> {
  const { stdout, stderr, stdin, note } = request;
  const { id } = await client.createJob(request.job);
  const cancel = () =>
    client
      .cancel(id)
      .catch((error: unknown) => note(`the job could not be canceled: ${factsOf(error).message}`));
  const interrupts = watchInterrupts(() => {
    note('stopping the job; press Ctrl-C again to leave it to itself');
    void cancel();
  });
  let waits = false;
  let attempt = 0;
  const input = stdin && passOn(client, id, stdin, note);
  try {
    const job = await watchJob(client, id, {
      onJob(record) {
        if (record.waiting && !waits) {
          waits = true;
          note(`the job waits: ${record.waiting.message}\n  ${record.waiting.remedy}`);
          void cancel();
        }
        if (record.attempt > 1 && record.attempt > attempt && record.state === 'processing')
          note(`attempt ${record.attempt}: the one before was lost`);
        attempt = record.attempt;
      },
      async onOutput(entry, stream, bytes) {
        if (entry.key.startsWith('step.')) await write(stream === 'stdout' ? stdout : stderr, bytes);
      },
    });
    if (waits && job.state === 'canceled') return { job, code: waitsCode };
    if (interrupts.signal.aborted) return { job, code: interruptedCode };
    return { job, code: codeOf(job, note) };
  } finally {
    interrupts.release();
    input?.stop();
  }
}

function codeOf(job: JobRecord, note: (line: string) => void): number {
  if (job.state === 'completed') return job.exitCode ?? 0;
  // The command's own failure is the command's to explain.
  if (job.failure?.reason === 'step_failed' && job.exitCode !== null) return job.exitCode;
  note(job.failure?.message ?? `the job is ${job.state}`);
  if (job.failure?.reason === 'step_not_started') return job.exitCode ?? 127;
  return failureCodes[job.failure?.reason ?? ''] ?? otherFailure;
}

/** Passes stdin on with its end. What the command does not read any more is no error. */
function passOn(client: Client, id: number, stdin: Readable, note: (line: string) => void): { stop(): void } {
  const stopping = new AbortController();
  client.sendInput(id, stdin, stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted && factsOf(error).code !== 'job_ended')
      note(`stdin was not passed on: ${factsOf(error).message}`);
  });
  return {
    stop() {
      stopping.abort();
      stdin.destroy();
    },
  };
}
