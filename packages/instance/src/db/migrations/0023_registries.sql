-- Credentials for registries, which executors get with the jobs that name an image there.
create table registry_credentials (
  -- `host` or `host:port`, in lower case.
  host text primary key,
  username text not null,
  -- Whose jobs get it; null: those of all queues.
  queues text[],
  -- Encrypted (secrets/vault.ts), for this host, user and queues alone.
  password bytea not null,
  created_at timestamptz not null default clock_timestamp()
);
