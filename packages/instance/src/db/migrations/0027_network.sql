-- What jobs may reach over the network, and which executors can give it to them.

-- From the narrowest on. `learn` reaches what `public` does; only a native executor observes.
create type egress_mode as enum ('none', 'allow', 'learn', 'public');

-- What jobs may reach at most: those of a queue, of a tenant, or of a tenant in a queue. Null: of every one.
create table network_ceilings (
  queue text,
  tenant text,
  policy jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  unique nulls not distinct (queue, tenant)
);
create index network_ceilings_tenant on network_ceilings (tenant);

-- What a line's jobs need besides. Null in a line of version N-1: as its jobs were leased there, to native executors without a network,
-- or to those of upstream's kind.
alter table lines
  add column needs_version integer,
  add column egress egress_mode,
  -- The jobs use the broker, for which an executor needs a network whatever the policy and the ceilings say.
  add column uses_broker boolean not null default false,
  -- Tells lines apart that differ in these three alone. It is an element of `labels`, too: version N-1 finds lines by a unique constraint that
  -- lacks these columns, and so leases no job whose needs it does not know. Empty where it would be the same.
  add column variant text not null default '';

alter table jobs
  add column needs_version integer,
  -- The ceilings that were in force when it was leased last. Null: it was not leased yet.
  add column egress_ceilings jsonb;
alter table job_events add column egress_ceilings jsonb;

alter table executors
  -- The version of the native protocol. Null: it has not asked for a job yet.
  add column protocol integer,
  -- The modes of a policy that it can hold a job to. Null as above.
  add column egress text[];

create or replace function job_record(job jobs, last attempts) returns jsonb language sql stable return
  jsonb_build_object(
    'id', (job).id, 'queue', (job).queue, 'state', (job).state, 'attempt', (job).attempt,
    'tenant', (job).tenant, 'priority', (job).priority,
    'accept', (job).accept, 'arch', (job).arch, 'labels', (job).labels, 'needsNative', (job).needs_native,
    'needsVersion', coalesce((job).needs_version, (job).needs_native::integer),
    'network', jsonb_build_object(
      'asked', coalesce(
        (job).payload -> 'network',
        jsonb_build_object('mode', case when (job).needs_native then 'none' else 'public' end)),
      'ceilings', (job).egress_ceilings,
      'broker', coalesce((job).payload -> 'broker', '[]')),
    'image', coalesce((job).payload ->> 'image', (job).payload #>> '{indexer,image}', ''),
    'command', beginning_of_command((job).payload),
    'secrets', coalesce((job).payload -> 'secrets', '[]'),
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
