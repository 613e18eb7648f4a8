-- Code hosts on which the instance opens pull requests: with the token, for repositories whose URL begins with that of the host.
create table code_hosts (
  name text primary key,
  kind text not null check (kind in ('github', 'gitlab', 'gitea')),
  -- As `URL` writes it, without a slash at the end.
  url text not null unique,
  -- Encrypted (secrets/vault.ts), for the host of this name, kind and URL alone.
  token bytea not null,
  -- Encrypted likewise. With it, deliveries for all repositories of the host may be signed. Null: none may.
  webhook_secret bytea,
  -- The host has asked for no requests before.
  limited_until timestamptz,
  -- The name of the user.
  set_by text not null,
  set_at timestamptz not null default clock_timestamp()
);
