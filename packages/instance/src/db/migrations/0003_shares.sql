-- In what order jobs start, what they ask of an executor, and how they are tried again.

-- One tenant in one queue: what a fair share is given to.
create table shares (
  id bigint generated always as identity primary key,
  tenant text not null,
  queue text not null,
  weight double precision not null default 1 check (weight > 0),
  -- Virtual time (stride scheduling): grows by 1/weight with each lease. Who is furthest behind is served next.
  pass double precision not null default 0,
  unique (tenant, queue)
);

-- Jobs of one share that ask for the same. A lease looks at the head of each line, however long the lines are.
create table lines (
  id bigint generated always as identity primary key,
  share_id bigint not null references shares,
  accept text[] not null,
  -- null: any.
  arch text,
  labels text[] not null,
  cpus integer not null,
  memory_mib integer not null,
  scratch_mib integer not null,
  needs_native boolean not null,
  -- Jobs may wait in it. It is set with the first one that does, and taken back by the reaper.
  busy boolean not null default true,
  unique nulls not distinct (share_id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native)
);
create index lines_busy on lines (share_id) where busy;

alter table jobs
  add column tenant text not null default 'admin',
  add column line_id bigint references lines,
  add column priority integer not null default 0 check (priority between 0 and 100),
  -- Place in its line: when it may start, earlier by a minute for each point of priority.
  add column rank_at timestamptz not null default clock_timestamp(),
  add column arch text,
  add column labels text[] not null default '{}',
  -- Pause before the first retry; doubled with each.
  add column retry_pause_ms integer not null default 5000,
  add column idempotency_key text,
  -- Of the request that the key came with.
  add column request_sha256 bytea,
  add unique (tenant, idempotency_key),
  -- A cancel kills the token at once; the lease lasts until the executor has let the job go.
  drop constraint jobs_check,
  add constraint jobs_token check ((state = 'processing' and not cancel_requested) = (token_sha256 is not null));
alter table executors
  add column labels text[] not null default '{}';

-- Jobs from before have the shares and lines that they would get today.
insert into shares (tenant, queue) select distinct tenant, queue from jobs;
insert into lines (share_id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native)
  select distinct shares.id, accept, arch, labels, cpus, memory_mib, scratch_mib, needs_native
  from jobs join shares using (tenant, queue);
update jobs set
  rank_at = greatest(queued_at, process_after),
  line_id = (
    select lines.id from lines join shares on shares.id = lines.share_id
    where shares.tenant = jobs.tenant and shares.queue = jobs.queue
      and (lines.accept, lines.labels, lines.cpus, lines.memory_mib, lines.scratch_mib, lines.needs_native)
        = (jobs.accept, jobs.labels, jobs.cpus, jobs.memory_mib, jobs.scratch_mib, jobs.needs_native)
  );
alter table jobs alter column line_id set not null;

drop index jobs_waiting, jobs_leased;
create index jobs_waiting on jobs (line_id, rank_at, id) where state in ('queued', 'errored');
-- Not on the lease's end: a heartbeat then changes no index, and its row stays where it is (HOT).
create index jobs_leased on jobs (executor, id) where state = 'processing';
alter table jobs set (fillfactor = 80);

-- An attempt is stored when it has something to say that its job's row does not.
alter table log_entries drop constraint log_entries_job_id_attempt_fkey,
  add foreign key (job_id) references jobs on delete cascade;

-- Times as JavaScript writes them.
create function iso(at timestamptz) returns text language sql immutable
  return to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- What people see of a job and its last attempt; protocol/api/jobs.ts has its schema.
create function job_record(job jobs, last attempts) returns jsonb language sql stable return
  jsonb_build_object(
    'id', (job).id, 'queue', (job).queue, 'state', (job).state, 'attempt', (job).attempt,
    'tenant', (job).tenant, 'priority', (job).priority,
    'accept', (job).accept, 'arch', (job).arch, 'labels', (job).labels,
    'resources', jsonb_build_object(
      'cpus', (job).cpus, 'memoryMiB', (job).memory_mib, 'scratchMiB', (job).scratch_mib),
    'executor', coalesce((job).executor, (last).executor),
    'tier', (last).tier, 'vmm', (last).vmm, 'exitCode', (last).exit_code,
    'failure', case when (job).reason is not null then
      jsonb_build_object('reason', (job).reason, 'message', coalesce((job).message, '')) end,
    'cancelRequested', (job).cancel_requested,
    'waiting', null,
    'guest', (last).guest, 'inspection', (last).inspection, 'leftOver', (last).left_over,
    'uploadId', (job).upload_id,
    'queuedAt', iso((job).queued_at), 'processAfter', iso((job).process_after),
    'startedAt', iso((job).started_at), 'finishedAt', iso((job).finished_at)
  );

-- One sequence for all jobs: whoever appends holds the job's row, so that a job's own events are in the order of their commits.
create sequence job_event_seq;
select setval('job_event_seq', coalesce(max(seq), 0) + 1, false) from job_events;
alter table job_events alter column seq set default nextval('job_event_seq');

-- For the pace at which jobs end.
create index attempts_ended on attempts (ended_at);
