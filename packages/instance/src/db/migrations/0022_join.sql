-- Tokens by which the executor of another machine gets its credential, once.
create table join_tokens (
  id bigint generated always as identity primary key,
  sha256 bytea not null unique,
  -- Of the credential and of the executor.
  name text not null,
  queues text[] not null,
  labels text[] not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
);
