-- That of an annotated tag is what it points to.
alter table repository_refs add column commit text;

-- Which commits of mirrored repositories are indexed after a sync.
create table index_policies (
  name text primary key,
  -- Whose jobs they are: the admin who made the policy.
  tenant text not null,
  -- Patterns with `*`.
  repositories text not null,
  kind text not null check (kind in ('branch', 'tag')),
  -- Null: the default branch.
  pattern text,
  -- Commits that are older are not indexed; null: any.
  max_age interval,
  -- Time between two commits of one repository that are indexed by policies.
  pause interval not null,
  accept text[] not null,
  created_at timestamptz not null default clock_timestamp()
);

-- The commits for which it was decided which jobs index them, and how.
create table indexings (
  repository text not null,
  commit text not null,
  -- The name of the policy; null: somebody asked for it.
  policy text,
  planned_at timestamptz not null default clock_timestamp(),
  -- A file of the commit, or `inferred`; null: it failed.
  source text,
  jobs integer not null default 0,
  notes text[] not null default '{}',
  failure text,
  primary key (repository, commit)
);
create index indexings_latest on indexings (repository, planned_at);
