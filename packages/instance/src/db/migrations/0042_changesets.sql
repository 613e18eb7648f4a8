-- Batch changes: each is the batch spec that was applied last, and the changesets that follow from it.
create table batch_changes (
  id bigint generated always as identity primary key,
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  -- A user's name, or `org/NAME` for an organisation.
  namespace text not null,
  name text not null,
  description text not null default '',
  creator text not null,
  -- `draft`: no batch spec was applied yet.
  state text not null default 'draft' check (state in ('draft', 'open', 'closed')),
  -- The batch spec that was applied last.
  spec_id bigint references batch_specs,
  applied_by text,
  applied_at timestamptz,
  -- {size, failedShareMax}: changesets are published in waves of this size. Null: all at once.
  waves jsonb,
  -- Why the next wave does not begin. Null: nothing holds it.
  waves_stopped text,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  closed_at timestamptz,
  unique (namespace, name)
);

-- The batch change that a batch spec was sent for.
alter table batch_specs add column batch_change_id bigint references batch_changes on delete set null;

-- What a changeset shall be.
create table changeset_specs (
  id bigint generated always as identity primary key,
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  creator text not null,
  -- Null: a client has sent it and no batch spec names it yet.
  spec_id bigint references batch_specs on delete cascade,
  -- The workspace whose result it is made of, if the instance ran it.
  workspace_id bigint references batch_workspaces on delete cascade,
  -- `existing`: a changeset of the code host that was made elsewhere, with its number there in `external_id`.
  kind text not null check (kind in ('branch', 'existing')),
  repository text not null,
  external_id text,
  -- Full names: `refs/heads/…`. These columns and all below are null for `existing`.
  base_ref text,
  base_commit text,
  head_ref text,
  title text,
  body text,
  message text,
  author_name text,
  author_email text,
  -- The blob with the diff, without prefixes.
  diff text,
  files integer,
  added_lines integer,
  deleted_lines integer,
  -- What the batch spec says: true, false or "draft". Null: it says nothing, and users decide.
  published jsonb,
  created_at timestamptz not null default clock_timestamp()
);
create index changeset_specs_spec on changeset_specs (spec_id);
create index changeset_specs_diff on changeset_specs (diff);

-- A branch that the instance pushes, or a changeset of a code host that it follows.
create table changesets (
  id bigint generated always as identity primary key,
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  batch_change_id bigint not null references batch_changes on delete cascade,
  repository text not null,
  -- What it shall be. Null: it was detached or its spec was removed.
  spec_id bigint references changeset_specs,
  -- What it was made of when it was reconciled last. Null: never.
  reconciled_spec_id bigint references changeset_specs,
  head_ref text,
  -- `pushed`: the branch alone, because its host knows no pull requests.
  publication text not null default 'unpublished' check (publication in ('unpublished', 'pushed', 'draft', 'published')),
  -- What users ask for where the spec says nothing: true, false or "draft".
  asked_publication jsonb,
  -- The commit that was pushed last.
  commit text,
  -- The commit that is being pushed: the branch may be at it already.
  pushing text,
  external_id text,
  external_url text,
  external_state text check (external_state in ('open', 'draft', 'closed', 'merged', 'deleted')),
  review text check (review in ('approved', 'changes_requested', 'pending')),
  checks text check (checks in ('passed', 'failed', 'pending')),
  -- The reconciler takes those that are queued, when their time has come.
  reconciler text not null default 'queued' check (reconciler in ('queued', 'processing', 'errored', 'failed', 'completed')),
  failure text,
  failures integer not null default 0,
  process_after timestamptz not null default clock_timestamp(),
  claim uuid,
  claimed_until timestamptz,
  -- Users or an applied batch spec ask for these; the reconciler does them and sets the times.
  closing boolean not null default false,
  archiving boolean not null default false,
  detaching boolean not null default false,
  archived_at timestamptz,
  detached_at timestamptz,
  published_at timestamptz,
  -- When the state on the code host was read last, and is to be read next.
  synced_at timestamptz,
  sync_after timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
create index changesets_batch_change on changesets (batch_change_id);
create index changesets_due on changesets (process_after) where reconciler in ('queued', 'errored', 'processing');
-- One branch of a repository is never of two changesets at a time.
create unique index changesets_branch on changesets (repository, head_ref)
  where head_ref is not null and detached_at is null and archived_at is null;
