import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** Most entries of a log that are read. */
const entriesMax = 200;

/** A phase of the job of a workspace: `setup.…`, the step `step.docker.step.0` …, `teardown.…`. */
export interface WorkspacePhase {
  readonly attempt: number;
  readonly entry: number;
  readonly key: string;
  readonly command: readonly string[];
  readonly startTime: string;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
}

/** Returns the phases of a job: of each the one of the latest attempt that had it. */
export async function readPhases(db: Db, jobId: number): Promise<WorkspacePhase[]> {
  const { rows } = await sql<WorkspacePhase>`
    select * from (
      select distinct on (key) attempt, entry, key, command, iso(start_time) as "startTime", exit_code as "exitCode",
        duration_ms as "durationMs"
      from log_entries where job_id = ${jobId} order by key, attempt desc, entry desc
    ) as latest order by attempt, entry limit ${entriesMax}
  `.execute(db);
  return rows;
}

/** Returns the first bytes that a phase has written, at most `bytesMax`, in the order of their arrival. */
export async function readOutput(
  db: Db,
  jobId: number,
  { attempt, entry }: Pick<WorkspacePhase, 'attempt' | 'entry'>,
  bytesMax: number,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const { rows } = await sql<{ stream: 'stdout' | 'stderr'; data: Buffer }>`
    select stream, substring(data for (${bytesMax} - total + octet_length(data))::int) as data from (
      select seq, stream, data, sum(octet_length(data)) over (order by seq) as total from job_events
      where job_id = ${jobId} and type = 'output' and attempt = ${attempt} and entry = ${entry}
    ) as output where total - octet_length(data) < ${bytesMax} order by seq
  `.execute(db);
  const textOf = (stream: string) =>
    Buffer.concat(rows.filter((row) => row.stream === stream).map(({ data }) => data)).toString();
  return { stdout: textOf('stdout'), stderr: textOf('stderr') };
}
