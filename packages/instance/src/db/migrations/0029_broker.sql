-- Entries of the broker: servers that the steps of jobs reach with a credential that the executor holds for them.
create table broker_entries (
  name text primary key,
  kind text not null,
  url text not null,
  hosts text[] not null,
  methods text[] not null,
  response_max_mib int not null,
  -- The field of HTTP that has the credential, and the user of a basic one; both null: the entry has no credential.
  header text,
  username text,
  -- Whose jobs get it; null: those of all queues, and of all repositories.
  queues text[],
  repositories text[],
  -- The secret, encrypted (secrets/vault.ts) for this row alone; null: none.
  secret bytea,
  created_at timestamptz not null default clock_timestamp()
);
