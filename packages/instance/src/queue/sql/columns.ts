import { sql } from 'kysely';
import type { JobRow } from '../job.ts';

/** Of `jobs`: what a `JobRow` has. */
const ofRow = [
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
] as const satisfies readonly (keyof JobRow)[];

/** Of `jobs`, and of `job_events` for an event of type `job`: what can change of a job. */
const ofMoment = [
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
] as const;

/** As text, once: these names are ours, and Kysely would compile each of them with each statement. */
const list = (names: readonly string[], of?: string) =>
  sql.raw(names.map((name) => (of === undefined ? name : `${of}.${name}`)).join(', '));

/** The columns of a `JobRow`, of `row`. */
export const rowColumns = list(ofRow, 'row');

/** What `rowColumns` and `insertEvents` read, for the `returning` of a statement that changes `jobs`. */
export const changedColumns = list([...new Set([...ofRow, ...ofMoment])], 'jobs');

/** Stores the event of each job in `moment`, which has the `changedColumns`: as it is now. Somebody holds the jobs' rows. */
export const insertEvents = sql`
  insert into job_events (job_id, type, ${list(ofMoment)}) select moment.id, 'job', ${list(ofMoment, 'moment')}`;

/**
 * Of the rows `jobs` and `moment` of `job_events`, which `insertEvents` stored: the job's record then, with what its attempt had
 * found. When it was leased that was nothing; after any other move nothing is added to it.
 */
export const recordAtMoment = sql`job_record(
  jsonb_populate_record(jobs, (select to_jsonb(was) from (select ${list(ofMoment, 'moment')}) as was)),
  (
    select attempts from attempts
    where attempts.job_id = jobs.id and attempts.attempt = moment.attempt
      and (moment.state <> 'processing' or moment.cancel_requested)
  )
)`;
