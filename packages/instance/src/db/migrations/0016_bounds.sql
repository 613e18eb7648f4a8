-- Bounds of what an attempt may write and of how long its steps may run.

alter table log_entries
  -- How often its facts have changed. Each change is an event.
  add column changes integer not null default 0,
  -- By the clock of the database; start_time is the executor's.
  add column added_at timestamptz not null default now();
-- Later rows get the time of their own statement: a transaction may be older.
alter table log_entries alter column added_at set default clock_timestamp();

-- Wall time of all steps of an attempt together; null for a job that an older version made after this migration.
alter table jobs add column deadline_ms bigint;
update jobs set deadline_ms = (payload ->> 'deadlineMs')::bigint where state in ('queued', 'errored', 'processing');

-- How many results an attempt has stored.
alter table attempts add column results integer not null default 0;
