import { type Clock, factsOf } from '@fumehood/base';
import type { JobClient } from '../../uplink/job-client.ts';
import type { Lease } from '../../uplink/leases.ts';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import { openPhaseLog } from '../../uplink/phase-log.ts';

/** What a phase of a job needs. */
export interface PhaseDeps {
  readonly client: JobClient;
  readonly clock: Clock;
  readonly lease: Lease;
  /** Ends of the log entries of phases that have succeeded. Whoever reports the end of the job waits for them before. */
  readonly ends: Promise<void>[];
}

/** Runs `body` as a phase of the job, with a log entry of its own, which the instance opens while the body goes on. */
export async function runPhase<T>(
  deps: PhaseDeps,
  key: string,
  body: (log: PhaseLog) => Promise<T>,
): Promise<T> {
  deps.lease.stopped.throwIfAborted();
  const { log, opened } = beginPhaseLog(deps, key, []);
  return runWithLog(log, deps, async () => {
    const value = await body(log);
    await opened;
    return value;
  });
}

/** Begins a log entry that can be written to before the instance has opened it. A write rejects when the instance does not open it. */
export function beginPhaseLog(
  { client, clock }: Pick<PhaseDeps, 'client' | 'clock'>,
  key: string,
  command: readonly string[],
): { readonly log: PhaseLog; readonly opened: Promise<PhaseLog> } {
  const opened = openPhaseLog(client, clock, key, command);
  opened.catch(() => {}); // whoever writes to it is told
  const log: PhaseLog = {
    write: async (stream, chunk) => (await opened).write(stream, chunk),
    end: async (exitCode) => (await opened).end(exitCode),
  };
  return { log, opened };
}

/**
 * Runs `body` and ends the log entry: with 0, for which the next phase does not wait, or with the error's message and 1. Rejects with the
 * error.
 */
export async function runWithLog<T>(
  log: PhaseLog,
  { lease, ends }: Pick<PhaseDeps, 'lease' | 'ends'>,
  body: (log: PhaseLog) => Promise<T>,
): Promise<T> {
  try {
    lease.stopped.throwIfAborted();
    const value = await body(log);
    const end = log.end(0);
    end.catch(() => {}); // whoever reports the end of the job is told
    ends.push(end);
    return value;
  } catch (error) {
    // A failure of the log is ignored here: the first error is the cause.
    const cause: unknown = lease.stopped.aborted ? lease.stopped.reason : error;
    await writeLine(log, factsOf(cause).message, 'stderr').catch(() => {});
    await log.end(1).catch(() => {});
    throw error;
  }
}

/** Writes a line into a log entry. */
export function writeLine(
  log: PhaseLog,
  line: string,
  stream: 'stdout' | 'stderr' = 'stdout',
): Promise<void> {
  return log.write(stream, Buffer.from(`${line}\n`));
}
