-- How a repository is indexed, whatever its commits say.
create table index_configs (
  repository_id bigint primary key references repositories on delete cascade,
  -- As an admin wrote it: YAML or JSON that was in order when it was stored.
  text text not null,
  -- The name of the user.
  set_by text not null,
  set_at timestamptz not null default clock_timestamp()
);
