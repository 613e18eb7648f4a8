-- What somebody has asked for with several changesets of a batch change at once.
create table bulk_operations (
  id bigint generated always as identity primary key,
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  batch_change_id bigint not null references batch_changes on delete cascade,
  type text not null check (type in ('publish', 'archive', 'detach', 'reenqueue', 'merge', 'comment', 'close')),
  creator text not null,
  changesets bigint[] not null,
  created_at timestamptz not null default clock_timestamp(),
  -- When the reconciler had come to an end with all of them. It is found out when somebody looks, and before the next request for one of them.
  finished_at timestamptz,
  -- [{changeset, error}]: those with which it has failed, by their public ids.
  failures jsonb not null default '[]'
);
create index bulk_operations_batch_change on bulk_operations (batch_change_id, id);
