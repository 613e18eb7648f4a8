import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { JobRow } from '../job.ts';

/** The columns of `jobs` that a `JobRow` has. */
const jobRowColumns = [
  'id',
  'queue',
  'state',
  'payload',
  'repository',
  'commit',
  'tenant',
  'accept',
  'cpus',
  'memory_mib',
  'scratch_mib',
  'attempt',
  'executor',
  'takes_input',
  'input_bytes',
  'input_ended',
  'started_at',
  'egress_ceilings',
] as const satisfies readonly (keyof JobRow)[];

/** The columns of `jobs` that a transition can change. `job_events` has the same ones, for events of type `job`. */
const eventColumns = [
  'state',
  'attempt',
  'executor',
  'cancel_requested',
  'reason',
  'message',
  'upload_id',
  'process_after',
  'started_at',
  'finished_at',
  'egress_ceilings',
] as const;

/** Writes the list as text once: the names are ours, and Kysely would compile each identifier with each statement. */
const list = (names: readonly string[], table?: string) =>
  sql.raw(names.map((name) => (table === undefined ? name : `${table}.${name}`)).join(', '));

/** The columns of a `JobRow`, taken from the relation `row`. */
export const rowColumns = list(jobRowColumns, 'row');

/** The columns that `rowColumns` and `insertEvents` read, for the `returning` of a statement that changes `jobs`. */
export const changedColumns = list([...new Set([...jobRowColumns, ...eventColumns])], 'jobs');

/**
 * The beginning of a statement that stores the event of each job in the relation `moment`, which has the `changedColumns`. The
 * transaction holds the jobs' rows. Only what can change is stored, not the whole record: that was a third of a transition's
 * cost.
 */
export const insertEvents = sql`
  insert into job_events (job_id, type, ${list(eventColumns)}) select moment.id, 'job', ${list(eventColumns, 'moment')}`;

/**
 * The job's record as it was at an event that `insertEvents` stored, from the rows `jobs` and `moment` (of `job_events`). It
 * includes the results of the attempt, unless the event is that of its lease: there were none yet. No result is added after any
 * other transition.
 */
export const recordAtMoment = sql`job_record(
  jsonb_populate_record(jobs, (select to_jsonb(was) from (select ${list(eventColumns, 'moment')}) as was)),
  (
    select attempts from attempts
    where attempts.job_id = jobs.id and attempts.attempt = moment.attempt
      and (moment.state <> 'processing' or moment.cancel_requested)
  )
)`;

/**
 * Stores an event with the job's whole record as it is now; the transaction holds the job's row. The events of transitions
 * (`insertEvents`) get the attempt's results when they are read. These can change while the attempt runs, and an event must not.
 */
export async function insertJobEvent(tx: Db, id: number): Promise<void> {
  await sql`
    insert into job_events (job_id, type, body)
    select jobs.id, 'job', jsonb_build_object('type', 'job', 'job', job_record(jobs, attempts))
    from jobs left join attempts on attempts.job_id = jobs.id and attempts.attempt = jobs.attempt
    where jobs.id = ${id}
  `.execute(tx);
}
