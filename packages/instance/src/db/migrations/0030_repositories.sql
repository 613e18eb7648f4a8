-- Repositories that the instance mirrors.
create table repositories (
  id bigint generated always as identity primary key,
  name text not null unique,
  -- Null: clients send its commits.
  url text,
  username text,
  -- Encrypted (secrets/vault.ts), for this repository, URL and user alone.
  password bytea,
  sync_interval interval not null,
  created_at timestamptz not null default clock_timestamp(),
  -- The directory of the mirror (repos/mirrors.ts); null before the first sync. Another one when the mirror was made anew.
  place text,
  -- The full name of the default branch.
  head text,
  synced_at timestamptz,
  -- The end of the last sync, whether it succeeded or not.
  tried_at timestamptz,
  -- How many syncs have failed since the last that succeeded, and why the last one did.
  failures integer not null default 0,
  failure text,
  sync_after timestamptz not null default clock_timestamp(),
  -- The replica that syncs sets the time of the next sync, and renews its claim until this one has ended.
  claim uuid,
  claimed_until timestamptz
);
create index repositories_due on repositories (sync_after) where url is not null;

-- The branches and tags of the mirrors.
create table repository_refs (
  repository_id bigint not null references repositories on delete cascade,
  name text not null,
  object text not null,
  primary key (repository_id, name)
);

-- The images of indexers that an admin has chosen.
create table indexer_images (
  language text primary key,
  -- The digest of an image archive, or a reference to an image of a registry.
  image text not null
);
