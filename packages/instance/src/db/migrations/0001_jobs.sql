-- Jobs, their attempts, what is known of executors, and who may ask. Times are the database's clock.

create table access_tokens (
  id bigint generated always as identity primary key,
  name text not null,
  sha256 bytea not null unique,
  created_at timestamptz not null default clock_timestamp(),
  revoked_at timestamptz
);

create table executor_credentials (
  id bigint generated always as identity primary key,
  name text not null,
  sha256 bytea not null unique,
  created_at timestamptz not null default clock_timestamp(),
  revoked_at timestamptz
);

create table executors (
  name text primary key,
  credential_id bigint not null references executor_credentials,
  version text not null,
  -- Speaks the native extension.
  native boolean not null,
  queues text[] not null default '{}',
  tiers text[] not null default '{}',
  arch text,
  -- What a job could have when nothing else runs there.
  cpus integer,
  memory_mib integer,
  scratch_mib integer,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp()
);

create table jobs (
  id bigint generated always as identity primary key,
  queue text not null,
  state text not null default 'queued'
    check (state in ('queued', 'processing', 'completed', 'errored', 'failed', 'canceled')),
  -- What the queue's kind makes the executor's job from.
  payload jsonb not null,
  -- '' for a job without a repository.
  repository text not null default '',
  commit text not null default '',
  accept text[] not null,
  cpus integer not null,
  memory_mib integer not null,
  scratch_mib integer not null,
  -- Only executors with the native extension understand its payload.
  needs_native boolean not null default true,
  attempt integer not null default 0,
  resets integer not null default 0,
  max_resets integer not null,
  retries integer not null default 0,
  max_retries integer not null,
  cancel_requested boolean not null default false,
  -- The lease, all null unless processing.
  executor text,
  token_sha256 bytea unique,
  lease_ms integer,
  lease_expires_at timestamptz,
  reason text,
  message text,
  upload_id bigint,
  -- Its stdin, in job_input; ended from the start when it takes none.
  takes_input boolean not null default false,
  input_bytes bigint not null default 0,
  input_ended boolean not null default false,
  queued_at timestamptz not null default clock_timestamp(),
  process_after timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  check ((state = 'processing') = (token_sha256 is not null)),
  check ((state = 'processing') = (lease_expires_at is not null))
);
create index jobs_waiting on jobs (queue, queued_at, id) where state in ('queued', 'errored');
create index jobs_leased on jobs (lease_expires_at) where state = 'processing';

create table attempts (
  job_id bigint not null references jobs on delete cascade,
  attempt integer not null,
  executor text not null,
  -- processing, then what ended it: a state of a job, or 'lost' when its lease ran out.
  outcome text not null default 'processing',
  reason text,
  message text,
  tier text,
  vmm text,
  exit_code integer,
  guest jsonb,
  inspection jsonb,
  left_over jsonb,
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (job_id, attempt)
);
