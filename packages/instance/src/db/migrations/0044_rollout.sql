-- When and how fast changesets are changed on code hosts.
create table batch_rollout (
  only_row boolean primary key default true check (only_row),
  -- Null: there is no limit.
  windows jsonb,
  set_by text not null,
  set_at timestamptz not null default clock_timestamp(),
  -- The changes of before let the next one be made at this time.
  next_at timestamptz not null default clock_timestamp()
);

-- When somebody let the waves of a batch change go on. What had failed before then stops them no more.
alter table batch_changes add column waves_resumed_at timestamptz;

-- Those whose states on their hosts are still read.
create index changesets_unsynced on changesets (sync_after)
  where publication <> 'unpublished' and detached_at is null and archived_at is null
    and external_state is distinct from 'merged' and external_state is distinct from 'deleted';
