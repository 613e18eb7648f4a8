-- Log entries of attempts, their output, and the events that people follow. Every writer holds the job's row.

create table log_entries (
  job_id bigint not null,
  attempt integer not null,
  entry integer not null,
  key text not null,
  command text[] not null,
  start_time timestamptz not null,
  duration_ms bigint,
  exit_code integer,
  -- Bytes that arrived on each stream: the next offset. What is over the cap is counted here and kept nowhere.
  stdout_bytes bigint not null default 0,
  stderr_bytes bigint not null default 0,
  primary key (job_id, attempt, entry),
  foreign key (job_id, attempt) references attempts on delete cascade
);

-- One sequence a job: the order in which its writes were committed. Output is stored here and nowhere else.
create table job_events (
  job_id bigint not null references jobs on delete cascade,
  seq bigint not null,
  type text not null check (type in ('job', 'entry', 'output')),
  -- The event as it was, for `job` and `entry`.
  body jsonb,
  -- For `output`.
  attempt integer,
  entry integer,
  stream text,
  start_offset bigint,
  data bytea,
  primary key (job_id, seq)
);

create table job_input (
  job_id bigint not null references jobs on delete cascade,
  start_offset bigint not null,
  data bytea not null,
  primary key (job_id, start_offset)
);
