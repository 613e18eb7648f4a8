-- Values that jobs of a tenant may have as variables of their environment. A job names them; its payload has no value.
create table secrets (
  tenant text not null,
  name text not null,
  -- Encrypted (secrets/vault.ts), for this tenant and name alone.
  value bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant, name)
);

-- What people see of a job has the names of its secrets, which its steps can read.
create or replace function job_record(job jobs, last attempts) returns jsonb language sql stable return
  jsonb_build_object(
    'id', (job).id, 'queue', (job).queue, 'state', (job).state, 'attempt', (job).attempt,
    'tenant', (job).tenant, 'priority', (job).priority,
    'accept', (job).accept, 'arch', (job).arch, 'labels', (job).labels, 'needsNative', (job).needs_native,
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
