-- By which code hosts say that a repository has changed.
create table webhooks (
  repository_id bigint primary key references repositories on delete cascade,
  -- Encrypted (secrets/vault.ts), for the webhook of the repository of this name alone.
  secret bytea not null,
  -- The name of the user.
  set_by text not null,
  set_at timestamptz not null default clock_timestamp()
);

-- The deliveries with a valid signature, so that none counts twice. They outlive their webhook: another one may have the same secret.
create table webhook_deliveries (
  repository_id bigint not null references repositories on delete cascade,
  -- Of everything that was signed.
  sha256 bytea not null,
  -- github, gitea or generic
  sender text not null,
  event text not null,
  -- What the code host calls it.
  delivery text,
  -- sync: a sync was asked for; ignored: the event changes no branch or tag.
  result text not null,
  received_at timestamptz not null default clock_timestamp(),
  primary key (repository_id, sha256)
);
create index on webhook_deliveries (repository_id, received_at);
