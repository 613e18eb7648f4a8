-- How the dependencies of indexed repositories are indexed; no row: they are not.
create table dependency_indexing (
  only_one boolean primary key default true check (only_one),
  -- Whose jobs they are: the admin who turned it on.
  tenant text not null,
  accept text[] not null,
  network jsonb not null,
  -- Names of entries of the broker; null: all that are for such jobs.
  broker text[],
  -- Jobs made in 24 hours.
  jobs_a_day integer not null,
  set_at timestamptz not null default clock_timestamp()
);

-- The packages that symbols of indexed repositories name. The index of each is an upload of the repository `pkg:MANAGER/NAME@VERSION`.
create table dependencies (
  id bigint generated always as identity primary key,
  manager text not null,
  name text not null,
  version text not null,
  seen_at timestamptz not null default clock_timestamp(),
  -- The job that indexes it, or did so last, when it was made, and how many there were.
  job_id bigint references jobs on delete set null,
  tried_at timestamptz,
  tries integer not null default 0,
  -- Why the last job left no index.
  failure text,
  unique (manager, name, version)
);

-- Which indexes name which packages.
create table index_dependencies (
  upload_id bigint not null references uploads on delete cascade,
  dependency_id bigint not null references dependencies on delete cascade,
  primary key (upload_id, dependency_id)
);
create index on index_dependencies (dependency_id);

-- When it was read which packages an index names; null: it was not.
alter table uploads add column dependencies_read_at timestamptz;
create index uploads_dependencies_unread on uploads (id) where dependencies_read_at is null;
