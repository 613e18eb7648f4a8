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
}

/** Runs `body` as a phase of the job, with a log entry of its own. */
export async function runPhase<T>(
  { client, clock, lease }: PhaseDeps,
  key: string,
  body: (log: PhaseLog) => Promise<T>,
): Promise<T> {
  return runWithLog(await openPhaseLog(client, clock, key, []), lease, body);
}

/** Runs `body` and ends the log entry: with 0, or with the error's message and 1. Rejects with the error. */
export async function runWithLog<T>(
  log: PhaseLog,
  lease: Lease,
  body: (log: PhaseLog) => Promise<T>,
): Promise<T> {
  try {
    lease.stopped.throwIfAborted();
    const value = await body(log);
    await log.end(0);
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
