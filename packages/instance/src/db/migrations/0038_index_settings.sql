-- What the index jobs of a repository get: fields of a job, as an admin has set them.
create table index_settings (
  repository_id bigint primary key references repositories on delete cascade,
  settings jsonb not null,
  -- The name of the user.
  set_by text not null,
  set_at timestamptz not null default clock_timestamp()
);
