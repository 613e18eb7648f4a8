-- The event of a move holds what can change of a job, as it was, in place of the whole record: that was a third of its cost.
alter table job_events
  -- For `job`, unless it has a body. Its attempt is in `attempt`.
  add column state text,
  add column executor text,
  add column cancel_requested boolean,
  add column reason text,
  add column message text,
  add column upload_id bigint,
  add column process_after timestamptz,
  add column started_at timestamptz,
  add column finished_at timestamptz,
  -- Every writer holds the job's row; to ask PostgreSQL for it again took two locks of it with each move.
  drop constraint job_events_job_id_fkey;
alter table attempts drop constraint attempts_job_id_fkey;
