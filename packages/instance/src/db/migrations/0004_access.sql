-- Who may ask, for what, and for how long. A secret is stored as its SHA-256 alone.

create table users (
  id bigint generated always as identity primary key,
  -- Also the tenant of its jobs.
  name text not null unique,
  admin boolean not null default false,
  created_at timestamptz not null default clock_timestamp()
);
insert into users (name, admin) values ('admin', true);

alter table access_tokens
  add column user_id bigint references users,
  add column scopes text[] not null default '{}',
  add column expires_at timestamptz,
  -- To the minute: not a write for every request.
  add column last_used_at timestamptz;
-- Tokens from before were good for everything.
update access_tokens set user_id = users.id, scopes = '{admin}' from users;
alter table access_tokens
  alter column user_id set not null,
  alter column scopes drop default;
create unique index access_tokens_name on access_tokens (user_id, name) where revoked_at is null;

alter table executor_credentials
  -- The only ones that its executors may lease from.
  add column queues text[] not null default '{}',
  add column expires_at timestamptz;
update executor_credentials set queues = '{codeintel,batches,runs}';
create unique index executor_credentials_name on executor_credentials (name) where revoked_at is null;

-- A credential has more than one while a rotation overlaps.
create table executor_secrets (
  id bigint generated always as identity primary key,
  credential_id bigint not null references executor_credentials,
  sha256 bytea not null unique,
  created_at timestamptz not null default clock_timestamp(),
  -- Set by the rotation that replaced it.
  ends_at timestamptz,
  last_used_at timestamptz
);
create index on executor_secrets (credential_id);
insert into executor_secrets (credential_id, sha256, created_at)
  select id, sha256, created_at from executor_credentials;
alter table executor_credentials drop column sha256;

-- Good for leases, and so are the job tokens that its executors got. (A stable clock, so that the planner can inline it.)
create function credential_is_good(credential executor_credentials) returns boolean language sql stable return
  (credential).revoked_at is null
  and ((credential).expires_at is null or (credential).expires_at > statement_timestamp());
