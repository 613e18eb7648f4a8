-- Batch specs: what is to be changed, where, and how.
create table batch_specs (
  id bigint generated always as identity primary key,
  -- The name by which clients know it.
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  -- The user who sent it. Results of steps are cached for this user.
  creator text not null,
  -- A user's name, or `org/NAME` for an organisation.
  namespace text not null,
  -- The name of the batch change.
  name text not null,
  -- As the user wrote it: YAML or JSON.
  text text not null,
  -- `server`: the instance resolves and runs its workspaces. `client`: a client has run them and sent changeset specs.
  origin text not null check (origin in ('server', 'client')),
  allow_ignored boolean not null default false,
  allow_unsupported boolean not null default false,
  no_cache boolean not null default false,
  -- The demands of its jobs: tiers, resources, network, broker, deadline; missing ones are those of `batch_settings`.
  options jsonb not null default '{}',
  resolution text not null default 'queued' check (resolution in ('queued', 'processing', 'failed', 'completed')),
  resolution_failure text,
  -- The replica that resolves renews its claim until it has done so.
  claim uuid,
  claimed_until timestamptz,
  -- When somebody asked for its execution.
  executed_at timestamptz,
  -- Changeset specs are made of the results once, when the last workspace has ended.
  built_at timestamptz,
  -- Why they cannot be made.
  build_failure text,
  created_at timestamptz not null default clock_timestamp()
);
create index batch_specs_unresolved on batch_specs (id) where origin = 'server' and resolution in ('queued', 'processing');
create index batch_specs_unbuilt on batch_specs (id) where origin = 'server' and resolution = 'completed' and built_at is null and build_failure is null;

-- The defaults of the demands of all jobs of batch changes.
create table batch_settings (
  only_row boolean primary key default true check (only_row),
  options jsonb not null,
  set_by text not null,
  set_at timestamptz not null default clock_timestamp()
);

-- The results of steps. A row never changes; of several with one key the newest counts.
create table batch_step_results (
  id bigint generated always as identity primary key,
  creator text not null,
  -- `cacheKey` of packages/batch-spec.
  key text not null,
  step integer not null,
  skipped boolean not null,
  -- The blob with everything that the steps up to this one have changed, as `git diff --no-prefix --binary` says it.
  diff text not null,
  diff_bytes bigint not null,
  added_lines integer not null,
  deleted_lines integer not null,
  -- {modified, added, deleted, renamed}: lists of paths.
  changes jsonb not null,
  stdout text not null,
  stderr text not null,
  -- All outputs so far, by name.
  outputs jsonb not null,
  created_at timestamptz not null default clock_timestamp()
);
create index batch_step_results_key on batch_step_results (creator, key, id);
create index batch_step_results_diff on batch_step_results (diff);

-- Where the steps of a batch spec run: one directory of one commit of one repository.
create table batch_workspaces (
  id bigint generated always as identity primary key,
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  spec_id bigint not null references batch_specs on delete cascade,
  position integer not null,
  repository text not null,
  -- A full name: `refs/heads/…`.
  branch text not null,
  commit text not null,
  -- Without a slash at either end; '' is the root of the repository.
  path text not null,
  only_fetch_workspace boolean not null,
  file_matches text[] not null,
  ignored boolean not null,
  unsupported boolean not null,
  -- How many steps its batch spec has.
  step_count integer not null,
  -- The steps, from 0, whose conditions are false whatever happens.
  skipped_steps integer[] not null,
  state text not null check (state in ('skipped', 'pending', 'queued', 'processing', 'completed', 'failed', 'canceled')),
  -- The job of its latest execution.
  job_id bigint references jobs on delete set null,
  -- Why it failed, or why it was skipped.
  reason text,
  queued_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  unique (spec_id, repository, branch, path)
);
create index batch_workspaces_job on batch_workspaces (job_id);

-- The steps of the latest execution of a workspace. A step that has not begun has no row.
create table batch_workspace_steps (
  workspace_id bigint not null references batch_workspaces on delete cascade,
  step integer not null,
  state text not null check (state in ('cached', 'skipped', 'processing', 'completed', 'failed')),
  result_id bigint references batch_step_results,
  started_at timestamptz,
  finished_at timestamptz,
  primary key (workspace_id, step)
);
create index batch_workspace_steps_result on batch_workspace_steps (result_id);

-- What an attempt of a job has sent as the diff of a step. An executor reports no other one as the result of a step.
create table batch_step_diffs (
  job_id bigint not null references jobs on delete cascade,
  attempt integer not null,
  step integer not null,
  -- A blob.
  digest text not null,
  bytes bigint not null,
  primary key (job_id, attempt, step)
);
create index batch_step_diffs_digest on batch_step_diffs (digest);

-- Files that the steps of a batch spec mount.
create table batch_files (
  id bigint generated always as identity primary key,
  public_id text not null unique default replace(gen_random_uuid()::text, '-', ''),
  spec_id bigint not null references batch_specs on delete cascade,
  -- From the directory of the batch spec, with the name of the file.
  path text not null,
  -- A blob.
  digest text not null,
  bytes bigint not null,
  modified_at timestamptz not null,
  unique (spec_id, path)
);
create index batch_files_digest on batch_files (digest);
